package callers;

import jakarta.jms.BytesMessage;
import jakarta.jms.JMSException;
import jakarta.jms.Message;
import jakarta.jms.TextMessage;
import java.util.Enumeration;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

/** What came back, as a test is told: {@code type} is the reply's, or {@code none}. */
@SuppressWarnings("serial")
final class Answer extends LinkedHashMap<String, Object> {
    static Answer none() {
        return new Answer().with("type", "none");
    }

    /** A JMS message, as its receiver sees it. */
    static Answer of(Message reply) throws JMSException {
        if (reply == null) {
            return none();
        }
        Map<String, Object> properties = new LinkedHashMap<>();
        for (Enumeration<?> names = reply.getPropertyNames(); names.hasMoreElements(); ) {
            String name = (String) names.nextElement();
            properties.put(name, String.valueOf(reply.getObjectProperty(name)));
        }
        Answer answer = new Answer()
                .with("properties", properties)
                .with("correlationId", reply.getJMSCorrelationID())
                .with("persistent", reply.getJMSDeliveryMode() == 2)
                .with("priority", reply.getJMSPriority())
                .with("expires", reply.getJMSExpiration());
        if (reply instanceof TextMessage text) {
            return answer.with("type", "text").with("text", text.getText());
        }
        if (reply instanceof BytesMessage bytes) {
            byte[] body = new byte[(int) bytes.getBodyLength()];
            bytes.readBytes(body);
            return answer.with("type", "bytes").with("hex", HexFormat.of().formatHex(body));
        }
        return answer.with("type", reply.getClass().getSimpleName());
    }

    /** Headers and a payload, as Spring and Camel hand them out. */
    static Answer of(Object payload, Map<String, Object> headers) {
        Map<String, Object> shown = new LinkedHashMap<>();
        headers.forEach((name, value) -> shown.put(name, String.valueOf(value)));
        Answer answer = new Answer().with("properties", shown);
        if (payload instanceof byte[] bytes) {
            return answer.with("type", "bytes").with("hex", HexFormat.of().formatHex(bytes));
        }
        return answer.with("type", "text").with("text", payload == null ? null : payload.toString());
    }

    Answer with(String name, Object value) {
        put(name, value);
        return this;
    }
}
