package peer;

import java.time.Instant;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.apache.kafka.streams.state.Stores;
import org.rocksdb.Options;

/**
 * A peer: routing on Kafka Streams, with the Processor API. Arguments: PREFIX VARIANT NOTIFICATIONS PREFERENCES.
 *
 * <p>It does: dedup in RocksDB with a changelog, an entry with its append time under each notification id; the
 * preference join against a read-only store whose changelog is the preference topic itself; the fan-out to three
 * channel topics, the same JSON as ours; entries expire by a punctuator. One thread; commit every second; memtables of
 * 64 MiB, no record cache (keys are unique); linger 5 ms, 128 KiB, lz4, idempotent, acks=all; a static member.
 * `like` also does what Carillon writes and `lean` leaves out: a decision record for every input, sealed params
 * (AES-GCM), and an entry with the position of its record and a keyed digest (HMAC-SHA256, where ours is BLAKE2b), so
 * that its own replay goes out again. `exactly` is `like` with exactly_once_v2. `gathered` is `like` with a broker that
 * gathers for 10 ms, as for our high lane: at a steady rate that trades latency for cost.
 *
 * <p>It does not: check lane, partition, size, deadline or window; bury a bad record; hold an unknown user's event;
 * seal addresses (they come sealed); serve metrics but over JMX.
 */
public final class Main {
    private static final String[] CHANNELS = {"push", "sms", "email"};

    private Main() {}

    public static void main(String[] arguments) {
        String prefix = arguments[0];
        String variant = arguments[1];
        Topology topology = topology(prefix, !variant.equals("lean"), arguments[2], arguments[3]);
        KafkaStreams streams = new KafkaStreams(topology, settings(prefix, variant));
        streams.setUncaughtExceptionHandler(error -> {
            error.printStackTrace();
            return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                System.out.println("{\"event\":\"ready\",\"at\":\"" + Instant.now() + "\"}");
            } else if (now == KafkaStreams.State.ERROR) {
                Runtime.getRuntime().halt(1);
            }
        });
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Topology topology(String prefix, boolean like, String notifications, String preferences) {
        var bytes = Serdes.ByteArray();
        var users = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("users"), bytes, bytes)
                .withLoggingDisabled();
        var seen = Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("dedup"), bytes, bytes)
                .withCachingDisabled()
                .withLoggingEnabled(Map.of("cleanup.policy", "delete", "retention.ms", String.valueOf(Route.KEEP_MS)));
        var in = new ByteArrayDeserializer();
        var out = new ByteArraySerializer();
        var topology = new Topology();
        topology.addReadOnlyStateStore(users, "preferences", in, in, preferences, "remember", Remember::new);
        topology.addSource("notifications", in, in, notifications);
        topology.addProcessor("route", () -> new Route(like), "notifications");
        topology.addStateStore(seen, "route");
        topology.connectProcessorAndStateStores("route", "users");
        for (String channel : CHANNELS) {
            topology.addSink(channel, prefix + channel + "_notifications.high", out, out, "route");
        }
        topology.addSink(Route.STATUSES, prefix + "statuses", out, out, "route");
        return topology;
    }

    private static Properties settings(String prefix, String variant) {
        var given = System.getenv();
        var settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, prefix + "route");
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, given.get("CARILLON_KAFKA"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, given.get("CARILLON_STATE"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, Memtables.class);
        if (variant.equals("gathered")) {
            consumer(settings, ConsumerConfig.FETCH_MIN_BYTES_CONFIG, 1_000_000);
            consumer(settings, ConsumerConfig.FETCH_MAX_WAIT_MS_CONFIG, 10);
        }
        if (variant.equals("exactly")) {
            settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        }
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
        consumer(settings, ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        consumer(settings, ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 5000);
        consumer(settings, ConsumerConfig.GROUP_INSTANCE_ID_CONFIG, given.get("CARILLON_WORKER"));
        consumer(settings, ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, 6000);
        consumer(settings, ConsumerConfig.HEARTBEAT_INTERVAL_MS_CONFIG, 1000);
        producer(settings, ProducerConfig.LINGER_MS_CONFIG, 5);
        producer(settings, ProducerConfig.BATCH_SIZE_CONFIG, 128 * 1024);
        producer(settings, ProducerConfig.COMPRESSION_TYPE_CONFIG, "lz4");
        return settings;
    }

    private static void consumer(Properties settings, String name, Object value) {
        settings.put(StreamsConfig.mainConsumerPrefix(name), value);
    }

    private static void producer(Properties settings, String name, Object value) {
        settings.put(StreamsConfig.producerPrefix(name), value);
    }

    /** Memtables as large as those of the other peers. */
    public static final class Memtables implements RocksDBConfigSetter {
        @Override
        public void setConfig(String store, Options options, Map<String, Object> configs) {
            options.setWriteBufferSize(64L * 1024 * 1024);
        }

        @Override
        public void close(String store, Options options) {}
    }
}
