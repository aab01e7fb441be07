package callers;

import jakarta.jms.BytesMessage;
import jakarta.jms.ConnectionFactory;
import jakarta.jms.Destination;
import jakarta.jms.JMSConsumer;
import jakarta.jms.JMSContext;
import jakarta.jms.JMSException;
import jakarta.jms.MapMessage;
import jakarta.jms.Message;
import jakarta.jms.Queue;
import jakarta.jms.TemporaryQueue;
import java.util.Map;
import java.util.UUID;
import org.messaginghub.pooled.jms.JmsPoolConnectionFactory;

/** Jakarta JMS 3 by itself: JMSContext, with connections from a pool. */
final class ContextCaller implements Caller {
    private final JmsPoolConnectionFactory pool = new JmsPoolConnectionFactory();
    private final ThreadLocal<Requester> requesters = ThreadLocal.withInitial(() -> new Requester(pool.createContext()));

    ContextCaller(ConnectionFactory factory) {
        pool.setConnectionFactory(factory);
        pool.setMaxConnections(4);
    }

    // docs: jms-get
    static String get(ConnectionFactory factory, String queue, String url) throws JMSException {
        try (JMSContext jms = factory.createContext()) {
            TemporaryQueue replies = jms.createTemporaryQueue();
            JMSConsumer consumer = jms.createConsumer(replies);
            Message request = jms.createMessage();
            request.setStringProperty("http_requestMethod", "GET");
            request.setStringProperty("http_requestUrl", url);
            request.setJMSReplyTo(replies);
            jms.createProducer().setTimeToLive(5_000).send(jms.createQueue(queue), request);

            Message reply = consumer.receive(5_000);
            if (reply == null) {
                throw new IllegalStateException("no reply within 5 s");
            }
            if ("true".equals(reply.getStringProperty("http_isError"))) {
                String status = reply.getStringProperty("http_statusCode");
                throw new IllegalStateException(status + " " + reply.getStringProperty("http_reasonPhrase"));
            }
            return reply.getBody(String.class);
        }
    }
    // end

    // docs: jms-requester
    /** Many calls, one after the other: each thread has one of these, and keeps it. */
    static final class Requester {
        final JMSContext jms;
        private final TemporaryQueue replies;
        private final JMSConsumer consumer;

        Requester(JMSContext jms) {
            this.jms = jms;
            replies = jms.createTemporaryQueue();
            consumer = jms.createConsumer(replies);
        }

        /** The reply, to be read before the next call; null when none has come in time. */
        Message call(String queue, Message request, long timeout) throws JMSException {
            String id = UUID.randomUUID().toString();
            request.setJMSCorrelationID(id);
            request.setJMSReplyTo(replies);
            jms.createProducer().setTimeToLive(timeout).send(jms.createQueue(queue), request);
            long end = System.currentTimeMillis() + timeout;
            for (long left = timeout; left > 0; left = end - System.currentTimeMillis()) {
                Message reply = consumer.receive(left);
                // Another id: the reply to an earlier call, which did not wait for it.
                if (reply == null || id.equals(reply.getJMSCorrelationID())) {
                    return reply;
                }
            }
            return null;
        }
    }
    // end

    // docs: jms-fixed
    /** The consumer that takes the reply to this request from a queue that several callers read. */
    static JMSConsumer send(JMSContext jms, Queue queue, Queue replies, Message request) throws JMSException {
        String id = UUID.randomUUID().toString();
        JMSConsumer consumer = jms.createConsumer(replies, "JMSCorrelationID = '" + id + "'");
        request.setJMSCorrelationID(id);
        request.setJMSReplyTo(replies);
        jms.createProducer().send(queue, request);
        return consumer;
    }
    // end

    @Override
    public Answer call(Call call) throws JMSException {
        if (call.properties().equals(Map.of("get", true))) {
            return new Answer().with("type", "text").with("text", get(pool, call.to(), call.text()));
        }
        if (call.replyTo() == null && call.correlationId() == null && call.timeToLive() == 0) {
            Requester requester = requesters.get();
            return Answer.of(requester.call(call.to(), message(requester.jms, call), call.timeout()));
        }
        try (JMSContext jms = pool.createContext()) {
            Message request = message(jms, call);
            Queue queue = jms.createQueue(call.to());
            if (call.replyTo() != null) {
                try (JMSConsumer consumer = send(jms, queue, jms.createQueue(call.replyTo()), request)) {
                    return sent(request, consumer.receive(call.timeout()));
                }
            }
            TemporaryQueue replies = jms.createTemporaryQueue();
            try (JMSConsumer consumer = jms.createConsumer(replies)) {
                request.setJMSReplyTo(replies);
                jms.createProducer().setTimeToLive(call.timeToLive()).send(queue, request);
                return sent(request, consumer.receive(call.timeout()));
            }
        }
    }

    private static Answer sent(Message request, Message reply) throws JMSException {
        return Answer.of(reply).with("sent", request.getJMSMessageID());
    }

    // docs: jms-notify
    static void publish(JMSContext jms, String topic, String url, String text) throws JMSException {
        Message event = jms.createTextMessage(text);
        event.setStringProperty("http_requestUrl", url);
        jms.createProducer().send(jms.createTopic(topic), event);
    }
    // end

    @Override
    public void send(Call call) throws JMSException {
        try (JMSContext jms = pool.createContext()) {
            if (call.topic() && call.properties().size() == 1) {
                publish(jms, call.to(), (String) call.properties().get("http_requestUrl"), call.text());
                return;
            }
            Destination to = call.topic() ? jms.createTopic(call.to()) : jms.createQueue(call.to());
            jms.createProducer().setTimeToLive(call.timeToLive()).setPriority(call.priority()).send(to, message(jms, call));
        }
    }

    private static Message message(JMSContext jms, Call call) throws JMSException {
        Message message = switch (call.kind()) {
            case "text" -> jms.createTextMessage(call.text());
            case "bytes" -> {
                BytesMessage bytes = jms.createBytesMessage();
                bytes.writeBytes(call.bytes());
                yield bytes;
            }
            case "map" -> {
                MapMessage map = jms.createMapMessage();
                map.setString("a", "b");
                yield map;
            }
            default -> jms.createMessage();
        };
        for (Map.Entry<String, Object> each : call.properties().entrySet()) {
            message.setObjectProperty(each.getKey(), each.getValue());
        }
        if (call.correlationId() != null && !call.correlationId().isEmpty()) {
            message.setJMSCorrelationID(call.correlationId());
        }
        return message;
    }
}
