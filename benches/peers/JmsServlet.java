import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Proxy;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.Message;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.servlet.ServletOutputStream;
import javax.servlet.WriteListener;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * A servlet called from a JMS listener: `java JmsServlet BROKER-URL QUEUE`.
 *
 * <p>Of request and response there is what this servlet calls, and nothing of a container, so it is the least that such a server
 * could cost. The session acknowledges after the listener has returned, and the reply is sent without waiting for the broker.
 */
public final class JmsServlet {
    static final class Hello extends HttpServlet {
        private static final byte[] BODY = "Hello World\n".getBytes();

        @Override
        protected void doPost(HttpServletRequest request, HttpServletResponse response) throws IOException {
            response.setContentType("text/plain");
            response.setContentLength(BODY.length);
            response.getOutputStream().write(BODY);
        }
    }

    /** What the servlet writes goes into a message. */
    static final class Body extends ServletOutputStream {
        final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        @Override
        public void write(int octet) {
            bytes.write(octet);
        }

        @Override
        public void write(byte[] octets, int offset, int length) {
            bytes.write(octets, offset, length);
        }

        @Override
        public boolean isReady() {
            return true;
        }

        @Override
        public void setWriteListener(WriteListener listener) {
            throw new IllegalStateException("not asynchronous");
        }
    }

    public static void main(String[] arguments) throws Exception {
        Connection connection = new ActiveMQConnectionFactory("guest", "guest", arguments[0]).createConnection();
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        MessageProducer producer = session.createProducer(null);
        producer.setDeliveryMode(DeliveryMode.NON_PERSISTENT);
        HttpServlet servlet = new Hello();
        session.createConsumer(session.createQueue(arguments[1])).setMessageListener(message -> {
            try {
                BytesMessage reply = session.createBytesMessage();
                reply.setJMSCorrelationID(message.getJMSCorrelationID());
                Body body = new Body();
                reply.setStringProperty("http_statusCode", "200");
                servlet.service(request(message), response(reply, body));
                reply.writeBytes(body.bytes.toByteArray());
                producer.send(message.getJMSReplyTo(), reply);
            } catch (Exception error) {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        });
        connection.start();
        Thread.currentThread().join();
    }

    private static HttpServletRequest request(Message message) {
        return proxy(HttpServletRequest.class, (self, method, arguments) -> switch (method.getName()) {
            case "getMethod" -> message.getStringProperty("http_requestMethod");
            case "getRequestURI", "getPathInfo" -> message.getStringProperty("http_requestUrl");
            case "getProtocol" -> "HTTP/1.1";
            default -> throw new UnsupportedOperationException(method.toString());
        });
    }

    private static HttpServletResponse response(Message reply, Body body) {
        return proxy(HttpServletResponse.class, (self, method, arguments) -> {
            switch (method.getName()) {
                case "setStatus" -> reply.setStringProperty("http_statusCode", arguments[0].toString());
                case "setContentType" -> reply.setStringProperty("content_type", (String) arguments[0]);
                case "setContentLength" -> { }
                case "getOutputStream" -> {
                    return body;
                }
                default -> throw new UnsupportedOperationException(method.toString());
            }
            return null;
        });
    }

    private static <T> T proxy(Class<T> type, InvocationHandler handler) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler));
    }
}
