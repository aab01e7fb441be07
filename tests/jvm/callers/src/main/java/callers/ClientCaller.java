package callers;

import jakarta.jms.ConnectionFactory;
import java.util.Map;
import java.util.Optional;
import org.messaginghub.pooled.jms.JmsPoolConnectionFactory;
import org.springframework.jms.core.JmsClient;
import org.springframework.messaging.Message;
import org.springframework.messaging.support.MessageBuilder;

/** Spring 7's JmsClient. */
final class ClientCaller implements Caller {
    private final JmsPoolConnectionFactory pool = new JmsPoolConnectionFactory();
    private final JmsClient jms;

    ClientCaller(ConnectionFactory factory) {
        pool.setConnectionFactory(factory);
        pool.setMaxConnections(4);
        jms = JmsClient.create(pool);
    }

    // docs: spring-client
    static String hello(JmsClient jms, String queue, String name) {
        Message<String> request = MessageBuilder.withPayload("")
                .setHeader("http_requestMethod", "GET")
                .setHeader("http_requestUrl", "/echo/" + name)
                .build();
        Message<?> reply = jms.destination(queue)
                .withReceiveTimeout(5_000)
                .withTimeToLive(5_000)
                .sendAndReceive(request)
                .orElseThrow(() -> new IllegalStateException("no reply within 5 s"));
        if (!"200".equals(reply.getHeaders().get("http_statusCode"))) {
            throw new IllegalStateException(reply.getHeaders().get("http_statusCode") + ": " + reply.getPayload());
        }
        // The type of the body is the header contentType.
        return (String) reply.getPayload();
    }
    // end

    private JmsClient.OperationSpec operation(Call call) {
        JmsClient.OperationSpec operation = jms.destination(call.to()).withReceiveTimeout(call.timeout());
        if (call.priority() != 4) {
            operation = operation.withPriority(call.priority());
        }
        return call.timeToLive() == 0 ? operation : operation.withTimeToLive(call.timeToLive());
    }

    @Override
    public Answer call(Call call) {
        return call(operation(call), jms, call);
    }

    static Answer call(JmsClient.OperationSpec operation, JmsClient jms, Call call) {
        if (call.properties().isEmpty()) {
            return new Answer().with("type", "text").with("text", hello(jms, call.to(), call.text()));
        }
        Optional<Message<?>> reply = operation.sendAndReceive(message(call));
        return reply.map(one -> Answer.of(one.getPayload(), Map.copyOf(one.getHeaders()))).orElseGet(Answer::none);
    }

    @Override
    public void send(Call call) {
        operation(call).send(message(call));
    }

    private static Message<Object> message(Call call) {
        return MessageBuilder.withPayload(call.body()).copyHeaders(call.properties()).build();
    }
}
