package callers;

import java.util.LinkedHashMap;
import java.util.Map;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.WebApplicationType;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.jms.core.JmsClient;
import org.springframework.messaging.Message;
import org.springframework.messaging.support.MessageBuilder;
import org.springframework.stereotype.Service;

/** A Spring Boot application: its connection and its JmsClient are what Boot configures by itself. */
final class BootCaller implements Caller {
    private final ConfigurableApplicationContext application;

    private BootCaller(ConfigurableApplicationContext application) {
        this.application = application;
    }

    // docs: spring-boot
    @SpringBootApplication
    static class Application {}

    @Service
    static class Hello {
        private final JmsClient jms;

        Hello(JmsClient jms) {
            this.jms = jms;
        }

        String echo(String queue, String text) {
            Message<String> request = MessageBuilder.withPayload(text)
                    .setHeader("http_requestMethod", "POST")
                    .setHeader("http_requestUrl", "/echo/boot")
                    .build();
            return jms.destination(queue)
                    .withReceiveTimeout(5_000)
                    .sendAndReceive(request)
                    .map(reply -> (String) reply.getPayload())
                    .orElseThrow(() -> new IllegalStateException("no reply within 5 s"));
        }
    }
    // end

    static BootCaller start(String broker, String uri, String user, String password) {
        String prefix = "spring." + broker + ".";
        String other = broker.equals("artemis") ? "activemq" : "artemis";
        String title = other.equals("artemis") ? "Artemis" : "ActiveMQ";
        Map<String, Object> properties = new LinkedHashMap<>();
        properties.put(prefix + "broker-url", uri);
        properties.put(prefix + "user", user);
        properties.put(prefix + "password", password);
        // Both clients are on this class path.
        properties.put(
                "spring.autoconfigure.exclude", "org.springframework.boot." + other + ".autoconfigure." + title + "AutoConfiguration");
        return new BootCaller(new SpringApplicationBuilder(Application.class)
                .web(WebApplicationType.NONE)
                .properties(properties)
                .run());
    }

    @Override
    public Answer call(Call call) {
        if (call.properties().isEmpty()) {
            return new Answer()
                    .with("type", "text")
                    .with("text", application.getBean(Hello.class).echo(call.to(), call.text()));
        }
        JmsClient jms = application.getBean(JmsClient.class);
        return ClientCaller.call(jms.destination(call.to()).withReceiveTimeout(call.timeout()), jms, call);
    }

    @Override
    public void send(Call call) {
        throw new UnsupportedOperationException("the client sends");
    }
}
