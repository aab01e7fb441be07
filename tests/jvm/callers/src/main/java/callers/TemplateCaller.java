package callers;

import jakarta.jms.ConnectionFactory;
import jakarta.jms.JMSException;
import jakarta.jms.Message;
import jakarta.jms.Session;
import java.util.Map;
import org.messaginghub.pooled.jms.JmsPoolConnectionFactory;
import org.springframework.jms.core.JmsTemplate;
import org.springframework.jms.support.converter.SimpleMessageConverter;

/** Spring's JmsTemplate. */
final class TemplateCaller implements Caller {
    private final JmsPoolConnectionFactory pool = new JmsPoolConnectionFactory();

    TemplateCaller(ConnectionFactory factory) {
        pool.setConnectionFactory(factory);
        pool.setMaxConnections(4);
    }

    // docs: spring-template
    static String create(JmsTemplate jms, String queue, String json) throws JMSException {
        jms.setReceiveTimeout(5_000);
        Message reply = jms.sendAndReceive(queue, session -> {
            Message request = session.createTextMessage(json);
            request.setStringProperty("http_requestMethod", "POST");
            request.setStringProperty("http_requestUrl", "/orders");
            request.setStringProperty("content_type", "application/json");
            request.setStringProperty("X_HYPHEN_Tenant", "acme");
            return request;
        });
        if (reply == null) {
            throw new IllegalStateException("no reply within 5 s");
        }
        if (Boolean.parseBoolean(reply.getStringProperty("http_isError"))) {
            throw new IllegalStateException(reply.getStringProperty("http_statusCode"));
        }
        return reply.getBody(String.class);
    }
    // end

    private JmsTemplate template(Call call) {
        JmsTemplate template = new JmsTemplate(pool);
        template.setReceiveTimeout(call.timeout());
        template.setPubSubDomain(call.topic());
        if (call.timeToLive() != 0 || call.priority() != 4) {
            template.setExplicitQosEnabled(true);
            template.setTimeToLive(call.timeToLive());
            template.setPriority(call.priority());
        }
        return template;
    }

    @Override
    public Answer call(Call call) throws JMSException {
        JmsTemplate template = template(call);
        if (call.properties().isEmpty()) {
            return new Answer().with("type", "text").with("text", create(template, call.to(), call.text()));
        }
        return Answer.of(template.sendAndReceive(call.to(), session -> message(session, call)));
    }

    @Override
    public void send(Call call) {
        template(call).send(call.to(), session -> message(session, call));
    }

    private static Message message(Session session, Call call) throws JMSException {
        Message message = call.kind().equals("empty")
                ? session.createMessage()
                : new SimpleMessageConverter().toMessage(call.body(), session);
        for (Map.Entry<String, Object> each : call.properties().entrySet()) {
            message.setObjectProperty(each.getKey(), each.getValue());
        }
        return message;
    }
}
