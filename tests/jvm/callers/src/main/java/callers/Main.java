package callers;

import com.fasterxml.jackson.core.json.JsonWriteFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import jakarta.jms.ConnectionFactory;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;

/**
 * Callers led by lines of JSON on standard input, each of which is answered by one line.
 *
 * <pre>
 * java -cp ... callers.Main activemq|artemis URI USER PASSWORD
 * {"by": "context", "do": "call", "to": "orders", "kind": "text", "text": "x", "properties": {"http_requestMethod": "POST"}}
 * {"type": "text", "text": "...", "properties": {...}}
 * </pre>
 *
 * "by" is context, template, client, camel or boot. "do" is call, send, or load: so many "threads" make so many "calls"
 * each, and the answer counts what came back. Each thread's text is its own, and has to come back to it.
 */
public final class Main {
    private final String broker;
    private final String uri;
    private final String user;
    private final String password;
    private final ConnectionFactory factory;
    private final Map<String, Caller> callers = new HashMap<>();

    private Main(String broker, String uri, String user, String password) throws Exception {
        this.broker = broker;
        this.uri = uri;
        this.user = user;
        this.password = password;
        factory = broker.equals("artemis")
                ? new org.apache.activemq.artemis.jms.client.ActiveMQConnectionFactory(uri, user, password)
                : new org.apache.activemq.ActiveMQConnectionFactory(user, password, uri);
    }

    public static void main(String[] arguments) throws Exception {
        // What libraries print belongs into the log.
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        Main main = new Main(arguments[0], arguments[1], arguments[2], arguments[3]);
        JsonMapper json = JsonMapper.builder().enable(JsonWriteFeature.ESCAPE_NON_ASCII).build();
        out.println("{\"ready\":true}");
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            Object answer;
            try {
                answer = main.run(json.readTree(line));
            } catch (Exception error) {
                error.printStackTrace();
                answer = Map.of("failed", error.toString());
            }
            out.println(json.writeValueAsString(answer));
        }
        // Pools, Camel and Spring have threads of their own.
        System.exit(0);
    }

    private Object run(JsonNode command) throws Exception {
        String by = command.get("by").asText();
        Caller caller = callers.get(by);
        if (caller == null) {
            caller = caller(by);
            callers.put(by, caller);
        }
        Call call = Call.of(command);
        switch (command.get("do").asText()) {
            case "call":
                return caller.call(call);
            case "send":
                caller.send(call);
                return Map.of();
            default:
                return load(caller, command);
        }
    }

    private Caller caller(String by) throws Exception {
        return switch (by) {
            case "context" -> new ContextCaller(factory);
            case "template" -> new TemplateCaller(factory);
            case "client" -> new ClientCaller(factory);
            case "camel" -> new CamelCaller(factory);
            case "boot" -> BootCaller.start(broker, uri, user, password);
            default -> throw new IllegalArgumentException("no such caller: " + by);
        };
    }

    /** How many replies there were of each status; a reply that is another thread's counts as {@code wrong}. */
    private static Map<String, Integer> load(Caller caller, JsonNode command) throws InterruptedException, ExecutionException {
        int threads = command.get("threads").asInt();
        int calls = command.get("calls").asInt();
        Map<String, Integer> counts = new TreeMap<>();
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        Callable<Map<String, Integer>> work = () -> {
            Map<String, Integer> own = new TreeMap<>();
            for (int n = 0; n < calls; n++) {
                String text = Thread.currentThread().getName() + "." + n;
                ObjectNode one = command.deepCopy();
                one.put("text", text);
                Answer answer = caller.call(Call.of(one));
                String body = String.valueOf(answer.get("text"));
                String status = answer.get("type").equals("none")
                        ? "none"
                        : String.valueOf(((Map<?, ?>) answer.get("properties")).get("http_statusCode"));
                own.merge(body.endsWith(text) || status.equals("none") ? status : "wrong", 1, Integer::sum);
            }
            return own;
        };
        try {
            for (Future<Map<String, Integer>> one : pool.invokeAll(IntStream.range(0, threads).mapToObj(n -> work).toList())) {
                one.get().forEach((status, count) -> counts.merge(status, count, Integer::sum));
            }
        } finally {
            pool.shutdownNow();
            pool.awaitTermination(10, TimeUnit.SECONDS);
        }
        return counts;
    }
}
