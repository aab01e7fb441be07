package callers;

import jakarta.jms.ConnectionFactory;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.camel.Exchange;
import org.apache.camel.ExchangePattern;
import org.apache.camel.ExchangeTimedOutException;
import org.apache.camel.ProducerTemplate;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.component.jms.JmsComponent;
import org.apache.camel.impl.DefaultCamelContext;
import org.messaginghub.pooled.jms.JmsPoolConnectionFactory;

/** Camel 4's component jms, InOut. */
final class CamelCaller implements Caller {
    private final JmsPoolConnectionFactory pool = new JmsPoolConnectionFactory();
    private final DefaultCamelContext camel = new DefaultCamelContext();
    private final ProducerTemplate producer;

    CamelCaller(ConnectionFactory factory) throws Exception {
        pool.setConnectionFactory(factory);
        pool.setMaxConnections(4);
        camel.addComponent("jms", JmsComponent.jmsComponentAutoAcknowledge(pool));
        camel.addRoutes(new Orders());
        camel.start();
        producer = camel.createProducerTemplate();
    }

    // docs: camel-route
    /** GET /echo/NAME of the service on the queue in the header "service"; 404 and 500 are replies like any other. */
    static final class Orders extends RouteBuilder {
        @Override
        public void configure() {
            from("direct:hello")
                    .removeHeaders("*", "service", "name")
                    .setHeader("http_requestMethod", constant("GET"))
                    .setHeader("http_requestUrl", simple("/echo/${header.name}"))
                    .setHeader("X-Tenant", constant("acme"))
                    .setBody(constant(""))
                    .setExchangePattern(ExchangePattern.InOut)
                    .toD("jms:queue:${header.service}?requestTimeout=5000")
                    .filter(header("http_isError").isEqualTo("true"))
                        .throwException(IllegalStateException.class, "${header.http_statusCode}: ${body}")
                    .end();
        }
    }
    // end

    @Override
    public Answer call(Call call) throws Exception {
        if (call.properties().isEmpty()) {
            Map<String, Object> headers = Map.of("service", call.to(), "name", call.text());
            return Answer.of(producer.requestBodyAndHeaders("direct:hello", null, headers), headers);
        }
        String options = "?requestTimeout=" + call.timeout();
        if (call.replyTo() != null) {
            options += "&replyTo=" + call.replyTo() + "&replyToType=" + call.replyToType();
        }
        if (call.timeToLive() != 0) {
            options += "&timeToLive=" + call.timeToLive();
        }
        if (call.priority() != 4) {
            options += "&explicitQosEnabled=true&priority=" + call.priority();
        }
        Exchange exchange = producer.request("jms:queue:" + call.to() + options, each -> fill(each, call));
        if (exchange.getException() instanceof ExchangeTimedOutException) {
            return Answer.none();
        }
        if (exchange.getException() != null) {
            throw exchange.getException();
        }
        return Answer.of(exchange.getMessage().getBody(), exchange.getMessage().getHeaders())
                .with("correlationId", exchange.getMessage().getHeader("JMSCorrelationID"));
    }

    @Override
    public void send(Call call) {
        String to = "jms:" + (call.topic() ? "topic:" : "queue:") + call.to();
        producer.send(to, ExchangePattern.InOnly, each -> fill(each, call));
    }

    private static void fill(Exchange exchange, Call call) {
        exchange.getMessage().setBody(call.kind().equals("empty") ? null : call.body());
        exchange.getMessage().setHeaders(new LinkedHashMap<>(call.properties()));
    }
}
