import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Enumeration;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.Map;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.JMSException;
import javax.jms.MapMessage;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Session;
import javax.jms.StreamMessage;
import javax.jms.TemporaryQueue;
import javax.jms.TextMessage;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * A JMS caller over OpenWire, led by lines of JSON on standard input; it answers each with one line of JSON.
 *
 * <pre>
 * java -cp 'LIB/*' JmsCaller.java URI [USER PASSWORD]
 * {"to": "orders", "type": "text", "text": "x", "properties": {"http_requestMethod": "POST"}}
 * {"type": "TextMessage", "text": "...", "properties": {...}, "correlated": true}
 * </pre>
 *
 * "type" is text, bytes ("hex"), map, object, stream ("values") or message (no body). "properties" are strings,
 * numbers and booleans. A message is sent with a temporary queue as its JMSReplyTo, unless "oneWay" is true, and its
 * reply waited for, "wait" milliseconds at most; the further messages of a streamed one are in "more".
 * {"receive": "queue"} takes a message from a queue. {"get": "url", "to": "queue"} is what docs/calling.md shows.
 */
public final class JmsCaller {
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Connection connection;
    private final Session session;
    private final TemporaryQueue replies;
    private final MessageConsumer consumer;

    private JmsCaller(Connection connection) throws JMSException {
        this.connection = connection;
        session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        replies = session.createTemporaryQueue();
        consumer = session.createConsumer(replies);
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory(arguments[0]);
        Connection connection =
                arguments.length > 1 ? factory.createConnection(arguments[1], arguments[2]) : factory.createConnection();
        connection.start();
        JmsCaller caller = new JmsCaller(connection);
        out.println("{\"ready\":true}");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            ObjectNode answer;
            try {
                answer = caller.run(JSON.readTree(line));
            } catch (Exception error) {
                answer = JSON.createObjectNode().put("failed", error.toString());
            }
            // Only ASCII: a lone surrogate has no UTF-8.
            out.println(ascii(JSON.writeValueAsString(answer)));
        }
        connection.close();
    }

    // docs: jms-1-1
    static String get(Connection connection, String queue, String url) throws JMSException {
        Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
        try {
            TemporaryQueue replies = session.createTemporaryQueue();
            MessageConsumer consumer = session.createConsumer(replies);
            Message request = session.createMessage();
            request.setStringProperty("http_requestMethod", "GET");
            request.setStringProperty("http_requestUrl", url);
            request.setJMSReplyTo(replies);
            MessageProducer producer = session.createProducer(session.createQueue(queue));
            producer.setTimeToLive(5_000);
            producer.send(request);

            Message reply = consumer.receive(5_000);
            consumer.close();
            replies.delete();
            if (reply == null) {
                throw new IllegalStateException("no reply within 5 s");
            }
            if ("true".equals(reply.getStringProperty("http_isError"))) {
                throw new IllegalStateException(reply.getStringProperty("http_statusCode"));
            }
            return ((TextMessage) reply).getText();
        } finally {
            session.close();
        }
    }
    // end

    private ObjectNode run(JsonNode command) throws JMSException {
        if (command.has("get")) {
            String text = get(connection, command.get("to").asText(), command.get("get").asText());
            return JSON.createObjectNode().put("text", text);
        }
        long wait = command.path("wait").asLong(20_000);
        if (command.has("receive")) {
            MessageConsumer one = session.createConsumer(session.createQueue(command.get("receive").asText()));
            try {
                return shown(one.receive(wait));
            } finally {
                one.close();
            }
        }
        Message message = message(command);
        for (Iterator<Map.Entry<String, JsonNode>> it = command.path("properties").fields(); it.hasNext(); ) {
            Map.Entry<String, JsonNode> property = it.next();
            message.setObjectProperty(property.getKey(), plain(property.getValue()));
        }
        boolean oneWay = command.path("oneWay").asBoolean();
        if (!oneWay) {
            message.setJMSReplyTo(replies);
        }
        MessageProducer producer = session.createProducer(session.createQueue(command.get("to").asText()));
        producer.send(message);
        producer.close();
        if (oneWay) {
            return JSON.createObjectNode().put("id", message.getJMSMessageID());
        }
        Message reply = consumer.receive(wait);
        ObjectNode shown = shown(reply);
        if (reply == null) {
            return shown;
        }
        shown.put("correlated", message.getJMSMessageID().equals(reply.getJMSCorrelationID()));
        ArrayNode more = shown.putArray("more");
        while (reply != null && "true".equals(reply.getStringProperty("http_moreContent"))) {
            reply = consumer.receive(wait);
            more.add(shown(reply));
        }
        return shown;
    }

    private Message message(JsonNode command) throws JMSException {
        switch (command.get("type").asText()) {
            case "text":
                return session.createTextMessage(command.path("text").textValue());
            case "bytes":
                BytesMessage bytes = session.createBytesMessage();
                bytes.writeBytes(HexFormat.of().parseHex(command.path("hex").asText("")));
                return bytes;
            case "map":
                MapMessage map = session.createMapMessage();
                for (Iterator<Map.Entry<String, JsonNode>> it = command.path("values").fields(); it.hasNext(); ) {
                    Map.Entry<String, JsonNode> entry = it.next();
                    map.setObject(entry.getKey(), plain(entry.getValue()));
                }
                return map;
            case "object":
                ArrayList<Object> list = new ArrayList<>();
                command.path("values").forEach(value -> list.add(plain(value)));
                return session.createObjectMessage(list);
            case "stream":
                StreamMessage stream = session.createStreamMessage();
                for (JsonNode value : command.path("values")) {
                    stream.writeObject(plain(value));
                }
                return stream;
            case "message":
                return session.createMessage();
            default:
                throw new IllegalArgumentException("no such type: " + command);
        }
    }

    private static Object plain(JsonNode value) {
        return JSON.convertValue(value, Object.class);
    }

    private static ObjectNode shown(Message message) throws JMSException {
        ObjectNode shown = JSON.createObjectNode();
        if (message == null) {
            return shown.put("type", "none");
        }
        if (message instanceof TextMessage) {
            shown.put("type", "TextMessage");
            try {
                shown.put("text", ((TextMessage) message).getText());
            } catch (JMSException error) {
                shown.put("unreadable", error.toString());
            }
        } else if (message instanceof BytesMessage) {
            byte[] body = new byte[(int) ((BytesMessage) message).getBodyLength()];
            ((BytesMessage) message).readBytes(body);
            shown.put("type", "BytesMessage").put("hex", HexFormat.of().formatHex(body));
        } else {
            shown.put("type", message.getClass().getSimpleName().replace("ActiveMQ", ""));
            if (message instanceof MapMessage) {
                ObjectNode values = shown.putObject("values");
                for (Enumeration<?> names = ((MapMessage) message).getMapNames(); names.hasMoreElements(); ) {
                    String name = (String) names.nextElement();
                    values.put(name, String.valueOf(((MapMessage) message).getObject(name)));
                }
            }
        }
        ObjectNode properties = shown.putObject("properties");
        for (Enumeration<?> names = message.getPropertyNames(); names.hasMoreElements(); ) {
            String name = (String) names.nextElement();
            properties.put(name, String.valueOf(message.getObjectProperty(name)));
        }
        return shown;
    }

    private static String ascii(String json) {
        StringBuilder escaped = new StringBuilder();
        for (char unit : json.toCharArray()) {
            escaped.append(unit < 128 ? String.valueOf(unit) : String.format("\\u%04x", (int) unit));
        }
        return escaped.toString();
    }
}
