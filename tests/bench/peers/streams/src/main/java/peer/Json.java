package peer;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.streams.processor.api.RecordMetadata;

/** The records of schemas/records.py, read and written token by token: Jackson's quickest way. One thread's own. */
final class Json {
    private static final List<String> ORDER = List.of("push", "sms", "email");
    private static final Map<String, Long> DEADLINES_MS =
            Map.of("otp", 300_000L, "transactional", 86_400_000L, "billing", 259_200_000L);
    private static final JsonFactory FACTORY = new JsonFactory();

    private final ObjectMapper mapper =
            new ObjectMapper(FACTORY).enable(SerializationFeature.ORDER_MAP_ENTRIES_BY_KEYS);
    private final ByteArrayOutputStream buffer = new ByteArrayOutputStream(1024);

    /** What is asked for; `params` in JSON, their keys in order. */
    static final class Notification {
        String tenant;
        String idempotencyKey;
        String userId;
        String messageClass;
        String channels;
        String category;
        String templateId;
        byte[] params = {'{', '}'};
    }

    /** Where a user can be reached on a channel, sealed; the hash that it is known by. */
    static final class Address {
        String channel;
        byte[] sealed;
        String hash;
        boolean verified = true;
    }

    /** A user's addresses in preferred order, and what they opted out of. */
    record Preference(List<Address> addresses, List<String[]> optOuts) {
        Address choose(String wanted, String category) {
            for (Address address : addresses) {
                boolean named = wanted.equals("best") || wanted.equals(address.channel);
                if (named && address.verified && !refuses(address.channel, category)) {
                    return address;
                }
            }
            return null;
        }

        private boolean refuses(String channel, String category) {
            for (String[] out : optOuts) {
                if ((out[0].equals("*") || out[0].equals(channel)) && (out[1].equals("*") || out[1].equals(category))) {
                    return true;
                }
            }
            return false;
        }
    }

    static int rank(String channel) {
        return ORDER.indexOf(channel);
    }

    Notification notification(byte[] value) {
        var asked = new Notification();
        try (JsonParser parser = FACTORY.createParser(value)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "tenant" -> asked.tenant = parser.getText();
                    case "idempotency_key" -> asked.idempotencyKey = parser.getText();
                    case "user_id" -> asked.userId = parser.getText();
                    case "class" -> asked.messageClass = parser.getText();
                    case "channels" -> asked.channels = parser.getText();
                    case "category" -> asked.category = parser.getText();
                    case "template_id" -> asked.templateId = parser.getText();
                    case "params" -> asked.params = mapper.writeValueAsBytes(mapper.readValue(parser, Map.class));
                    default -> parser.skipChildren();
                }
            }
            return asked;
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
    }

    Preference preference(byte[] value) {
        var addresses = new ArrayList<Address>(3);
        var optOuts = new ArrayList<String[]>(2);
        var preferred = new ArrayList<String>(0);
        try (JsonParser parser = FACTORY.createParser(value)) {
            parser.nextToken();
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                switch (name) {
                    case "addresses" -> {
                        while (parser.nextToken() != JsonToken.END_ARRAY) {
                            addresses.add(address(parser));
                        }
                    }
                    case "opt_outs" -> {
                        while (parser.nextToken() != JsonToken.END_ARRAY) {
                            optOut(parser, optOuts);
                        }
                    }
                    case "preferred" -> {
                        while (parser.nextToken() != JsonToken.END_ARRAY) {
                            preferred.add(parser.getText());
                        }
                    }
                    default -> parser.skipChildren();
                }
            }
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        addresses.sort((a, b) -> Integer.compare(place(preferred, a.channel), place(preferred, b.channel)));
        return new Preference(addresses, optOuts);
    }

    private static int place(List<String> preferred, String channel) {
        int found = preferred.indexOf(channel);
        return found >= 0 ? found : preferred.size() + rank(channel);
    }

    private static Address address(JsonParser parser) throws IOException {
        var found = new Address();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            parser.nextToken();
            switch (name) {
                case "channel" -> found.channel = parser.getText();
                case "sealed" -> found.sealed = parser.getBinaryValue();
                case "hash" -> found.hash = parser.getText();
                case "verified" -> found.verified = parser.getBooleanValue();
                default -> parser.skipChildren();
            }
        }
        return found;
    }

    private static void optOut(JsonParser parser, List<String[]> optOuts) throws IOException {
        String[] places = {"*", "*"};
        boolean out = true;
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.currentName();
            parser.nextToken();
            switch (name) {
                case "channel" -> places[0] = parser.getText();
                case "category" -> places[1] = parser.getText();
                case "out" -> out = parser.getBooleanValue();
                default -> parser.skipChildren();
            }
        }
        if (out) {
            optOuts.add(places);
        }
    }

    byte[] delivery(String id, Notification asked, Address to, byte[] params, long appendedMs, long nowMs) {
        buffer.reset();
        try (JsonGenerator json = FACTORY.createGenerator(buffer)) {
            json.writeStartObject();
            json.writeStringField("notification_id", id);
            json.writeStringField("tenant", asked.tenant);
            json.writeStringField("user_id", asked.userId);
            json.writeStringField("idempotency_key", asked.idempotencyKey);
            json.writeStringField("channel", to.channel);
            json.writeStringField("class", asked.messageClass);
            json.writeStringField("category", asked.category);
            json.writeStringField("template_id", asked.templateId);
            json.writeBinaryField("address", to.sealed);
            json.writeStringField("address_hash", to.hash);
            json.writeBinaryField("params", params);
            json.writeNumberField("deadline_ms", appendedMs + DEADLINES_MS.get(asked.messageClass));
            json.writeNumberField("due_ms", appendedMs);
            json.writeNumberField("decided_at_ms", nowMs);
            json.writeNumberField("accepted_ms", appendedMs);
            json.writeEndObject();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return buffer.toByteArray();
    }

    byte[] status(
            String id,
            Notification asked,
            String step,
            long nowMs,
            RecordMetadata place,
            long appendedMs,
            int deliveries) {
        buffer.reset();
        try (JsonGenerator json = FACTORY.createGenerator(buffer)) {
            json.writeStartObject();
            json.writeStringField("notification_id", id);
            json.writeStringField("tenant", asked.tenant);
            json.writeStringField("user_id", asked.userId);
            json.writeStringField("step", step);
            json.writeNumberField("at_ms", nowMs);
            json.writeStringField("position", place.topic() + '/' + place.partition() + '/' + place.offset());
            json.writeNumberField("accepted_ms", appendedMs);
            if (step.equals("duplicate")) {
                json.writeStringField("reason", "same_request");
            } else if (step.equals("suppressed")) {
                json.writeStringField("reason", "opted_out");
            }
            if (deliveries > 0) {
                json.writeNumberField("deliveries", deliveries);
            }
            json.writeEndObject();
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        return buffer.toByteArray();
    }
}
