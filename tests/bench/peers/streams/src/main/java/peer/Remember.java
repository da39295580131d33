package peer;

import org.apache.kafka.streams.processor.api.ContextualProcessor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/** Keeps each user's preference record as it is: the topic is the store's changelog, so it must hold the same bytes. */
final class Remember extends ContextualProcessor<byte[], byte[], Void, Void> {
    private KeyValueStore<byte[], byte[]> users;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
        super.init(context);
        users = context.getStateStore("users");
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        users.put(record.key(), record.value());
    }
}
