package callers;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What a test asks for, from a line of JSON. {@code kind} is text, bytes, map or empty; {@code replyTo} names a queue for
 * the reply, where it is no temporary one.
 */
record Call(
        String to,
        boolean topic,
        String kind,
        String text,
        byte[] bytes,
        Map<String, Object> properties,
        String correlationId,
        String replyTo,
        String replyToType,
        long timeout,
        long timeToLive,
        int priority) {
    static Call of(JsonNode json) {
        Map<String, Object> properties = new LinkedHashMap<>();
        json.path("properties").properties().forEach(each -> properties.put(each.getKey(), plain(each.getValue())));
        return new Call(
                json.path("to").asText(),
                json.path("topic").asBoolean(),
                json.path("kind").asText("text"),
                json.path("text").asText(""),
                HexFormat.of().parseHex(json.path("hex").asText("")),
                properties,
                json.path("correlationId").textValue(),
                json.path("replyTo").textValue(),
                json.path("replyToType").asText("Temporary"),
                json.path("timeout").asLong(20_000),
                json.path("timeToLive").asLong(0),
                json.path("priority").asInt(4));
    }

    /** The body as Spring and Camel take it. */
    Object body() {
        return switch (kind) {
            case "text" -> text;
            case "bytes" -> bytes;
            case "map" -> Map.of("a", "b");
            default -> "";
        };
    }

    private static Object plain(JsonNode value) {
        if (value.isBoolean()) {
            return value.booleanValue();
        }
        return value.isNumber() ? value.numberValue() : value.textValue();
    }
}
