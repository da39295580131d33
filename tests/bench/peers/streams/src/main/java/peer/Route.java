package peer;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.Arrays;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.processor.api.RecordMetadata;
import org.apache.kafka.streams.state.KeyValueStore;

/** Drops repeats, looks the user up, sends to the channel. */
final class Route extends ContextualProcessor<byte[], byte[], byte[], byte[]> {
    static final long KEEP_MS = Duration.ofHours(26).toMillis();
    static final String STATUSES = "statuses";

    /** An entry: generation, source, partition (2 bytes), offset, append time (ms), digest (8 bytes), channel bits. */
    private static final int ENTRY_BYTES = 29;
    private static final int OWNER_BYTES = 12;
    private static final int APPENDED_AT = 12;

    private final boolean like;
    private final Ring ring = Ring.fromEnvironment();
    private final Json json = new Json();
    private KeyValueStore<byte[], byte[]> seen;
    private KeyValueStore<byte[], byte[]> users;

    Route(boolean like) {
        this.like = like;
    }

    @Override
    public void init(ProcessorContext<byte[], byte[]> context) {
        super.init(context);
        seen = context.getStateStore("dedup");
        users = context.getStateStore("users");
        context.schedule(Duration.ofHours(1), PunctuationType.WALL_CLOCK_TIME, this::expire);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        Json.Notification asked = json.notification(record.value());
        String id = ring.notificationId(asked.tenant, "high", asked.userId, asked.idempotencyKey);
        byte[] key = id.getBytes(StandardCharsets.US_ASCII);
        RecordMetadata place = context().recordMetadata().orElseThrow();
        byte[] entry = entry(place, record.timestamp(), like ? ring.digest(asked) : 0L);
        long now = System.currentTimeMillis();
        byte[] standing = seen.get(key);
        if (standing != null && !(like && Arrays.equals(standing, 0, OWNER_BYTES, entry, 0, OWNER_BYTES))) {
            if (like) {
                tell(key, json.status(id, asked, "duplicate", now, place, record.timestamp(), 0), record.timestamp());
            }
            return;
        }
        byte[] person = users.get(record.key());
        Json.Address chosen = person == null ? null : json.preference(person).choose(asked.channels, asked.category);
        if (chosen != null) {
            byte[] params = like ? ring.seal(asked.params, key) : asked.params;
            byte[] delivery = json.delivery(id, asked, chosen, params, record.timestamp(), now);
            context().forward(new Record<>(key, delivery, record.timestamp()), chosen.channel);
            entry[ENTRY_BYTES - 1] = (byte) (1 << Json.rank(chosen.channel));
        }
        if (like) {
            String step = chosen == null ? "suppressed" : "routed";
            int deliveries = chosen == null ? 0 : 1;
            tell(key, json.status(id, asked, step, now, place, record.timestamp(), deliveries), record.timestamp());
        }
        seen.put(key, entry);
    }

    private void tell(byte[] key, byte[] status, long appendedMs) {
        context().forward(new Record<>(key, status, appendedMs), STATUSES);
    }

    private static byte[] entry(RecordMetadata place, long appendedMs, long digest) {
        return ByteBuffer.allocate(ENTRY_BYTES)
                .put((byte) 1)
                .put((byte) 0)
                .putShort((short) place.partition())
                .putLong(place.offset())
                .putLong(appendedMs)
                .putLong(digest)
                .array();
    }

    private void expire(long nowMs) {
        try (var entries = seen.all()) {
            while (entries.hasNext()) {
                var found = entries.next();
                if (ByteBuffer.wrap(found.value).getLong(APPENDED_AT) < nowMs - KEEP_MS) {
                    seen.delete(found.key);
                }
            }
        }
    }
}
