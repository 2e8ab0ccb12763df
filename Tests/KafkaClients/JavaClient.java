// Kafka's own client for Tests/KafkaClients/run.py: an operation on stdin, its answer on stdout, until the end of stdin.
// Both are a count of strings, each with its length, and a blob of records with its length (records.py: packed).
import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.OffsetAndTimestamp;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

@SuppressWarnings("removal")        // of listConsumerGroups, which both versions of the client have
public final class JavaClient {
    private final Map<String, AutoCloseable> handles = new HashMap<>();

    /** What an operation has found: strings, and of a poll records. */
    private record Answer(List<String> words, byte[] records) {
        static Answer of(Object... words) {
            return new Answer(Arrays.stream(words).map(String::valueOf).collect(Collectors.toList()), new byte[0]);
        }
        static Answer of(Collection<String> words) { return new Answer(new ArrayList<>(words), new byte[0]); }
    }

    public static void main(String[] arguments) throws IOException {
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in, 1 << 16));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out, 1 << 16));
        System.setOut(new PrintStream(System.err));     // whatever a library prints
        JavaClient client = new JavaClient();
        while (true) {
            List<String> words = new ArrayList<>();
            try {
                for (int left = in.readInt(); left > 0; left--) words.add(string(in.readNBytes(in.readInt())));
            } catch (EOFException end) {
                return;
            }
            byte[] records = in.readNBytes(in.readInt());
            List<String> answered = new ArrayList<>();
            byte[] found = new byte[0];
            try {
                Answer answer = client.perform(words, records);
                answered.add("ok");
                answered.addAll(answer.words());
                found = answer.records();
            } catch (Throwable thrown) {
                Throwable cause = thrown instanceof ExecutionException ? thrown.getCause() : thrown;
                answered = List.of("error", String.valueOf(Errors.forException(cause).code()), cause.toString());
            }
            out.writeInt(answered.size());
            for (String word : answered) sized(out, word.getBytes(StandardCharsets.UTF_8));
            sized(out, found);
            out.flush();
        }
    }

    private Answer perform(List<String> words, byte[] records) throws Exception {
        String handle = words.get(1);
        List<String> rest = words.subList(2, words.size());
        switch (words.get(0)) {
            case "producer" -> {
                KafkaProducer<byte[], byte[]> producer =
                    new KafkaProducer<>(configs(rest), new ByteArraySerializer(), new ByteArraySerializer());
                handles.put(handle, producer);
                if (configs(rest).containsKey("transactional.id")) producer.initTransactions();
                return Answer.of();
            }
            case "consumer" -> {
                handles.put(handle, new KafkaConsumer<>(configs(rest), new ByteArrayDeserializer(), new ByteArrayDeserializer()));
                return Answer.of();
            }
            case "admin" -> {
                handles.put(handle, Admin.create(configs(rest)));
                return Answer.of();
            }
            case "close" -> {
                AutoCloseable closed = handles.remove(handle);
                if (closed instanceof KafkaProducer<?, ?> producer) producer.close(Duration.ofSeconds(5)); else closed.close();
                return Answer.of();
            }
            default -> { }
        }
        AutoCloseable target = handles.get(handle);
        if (target instanceof Admin admin) return administer(admin, words.get(0), rest);
        if (target instanceof KafkaConsumer<?, ?>) return consume(consumer(handle), words.get(0), rest);
        @SuppressWarnings("unchecked")
        KafkaProducer<byte[], byte[]> producer = (KafkaProducer<byte[], byte[]>) target;
        return produce(producer, words.get(0), rest, ByteBuffer.wrap(records));
    }

    @SuppressWarnings("unchecked")
    private KafkaConsumer<byte[], byte[]> consumer(String handle) {
        return (KafkaConsumer<byte[], byte[]>) handles.get(handle);
    }

    private Answer produce(KafkaProducer<byte[], byte[]> producer, String operation, List<String> words, ByteBuffer records)
            throws Exception {
        switch (operation) {
            case "send" -> {
                List<Future<RecordMetadata>> sent = new ArrayList<>();
                while (records.hasRemaining()) sent.add(producer.send(record(words.get(0), records)));
                producer.flush();
                for (Future<RecordMetadata> one : sent) one.get();
            }
            case "begin" -> producer.beginTransaction();
            case "commit" -> producer.commitTransaction();
            case "abort" -> producer.abortTransaction();
            case "send_offsets" -> producer.sendOffsetsToTransaction(
                offsets(words.get(1), words.subList(2, words.size())), consumer(words.get(0)).groupMetadata());
            default -> throw new IllegalArgumentException(operation);
        }
        return Answer.of();
    }

    private Answer consume(KafkaConsumer<byte[], byte[]> consumer, String operation, List<String> words) throws Exception {
        String topic = words.isEmpty() ? "" : words.get(0);
        List<String> rest = words.isEmpty() ? words : words.subList(1, words.size());
        TopicPartition first = rest.isEmpty() ? null : new TopicPartition(topic, Integer.parseInt(rest.get(0)));
        Duration patience = Duration.ofSeconds(20);
        switch (operation) {
            case "assign" -> {
                consumer.assign(rest.stream().map(p -> new TopicPartition(topic, Integer.parseInt(p))).toList());
                consumer.seekToBeginning(consumer.assignment());
            }
            case "subscribe" -> consumer.subscribe(List.of(topic));
            case "poll" -> {
                ByteArrayOutputStream found = new ByteArrayOutputStream();
                DataOutputStream out = new DataOutputStream(found);
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(Long.parseLong(topic))))
                    write(out, record);
                return new Answer(List.of(), found.toByteArray());
            }
            case "assignment" -> {
                return Answer.of(consumer.assignment().stream().map(p -> String.valueOf(p.partition())).toList());
            }
            case "seek" -> consumer.seek(first, Long.parseLong(rest.get(1)));
            case "commit_offsets" -> consumer.commitSync(offsets(topic, rest), patience);
            case "committed" -> {
                OffsetAndMetadata found = consumer.committed(Collections.singleton(first), patience).get(first);
                return Answer.of(found == null ? -1 : found.offset());
            }
            case "offset_for_time" -> {
                OffsetAndTimestamp found =
                    consumer.offsetsForTimes(Map.of(first, Long.parseLong(rest.get(1))), patience).get(first);
                return Answer.of(found == null ? -1 : found.offset());
            }
            case "watermarks" -> {
                return Answer.of(consumer.beginningOffsets(List.of(first), patience).get(first),
                                 consumer.endOffsets(List.of(first), patience).get(first));
            }
            default -> throw new IllegalArgumentException(operation);
        }
        return Answer.of();
    }

    private Answer administer(Admin admin, String operation, List<String> words) throws Exception {
        String name = words.isEmpty() ? "" : words.get(0);
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, name);
        switch (operation) {
            case "create_topic" -> {
                Map<String, String> configs = new HashMap<>();
                configs(words.subList(2, words.size())).forEach((key, value) -> configs.put(key, (String) value));
                admin.createTopics(List.of(new NewTopic(name, Integer.parseInt(words.get(1)), (short) 1).configs(configs)))
                    .all().get();
            }
            case "delete_topic" -> admin.deleteTopics(List.of(name)).all().get();
            case "topics" -> {
                return Answer.of(admin.describeTopics(admin.listTopics().names().get()).allTopicNames().get().values()
                    .stream().map(topic -> topic.name() + "=" + topic.partitions().size()).toList());
            }
            case "configs" -> {
                return Answer.of(admin.describeConfigs(List.of(resource)).all().get().get(resource).entries()
                    .stream().map(entry -> entry.name() + "=" + entry.value()).toList());
            }
            case "alter_config" -> admin.incrementalAlterConfigs(Map.of(resource, List.of(
                new AlterConfigOp(new ConfigEntry(words.get(1), words.get(2)), AlterConfigOp.OpType.SET)))).all().get();
            case "create_partitions" ->
                admin.createPartitions(Map.of(name, NewPartitions.increaseTo(Integer.parseInt(words.get(1))))).all().get();
            case "delete_records" -> {
                TopicPartition partition = new TopicPartition(name, Integer.parseInt(words.get(1)));
                return Answer.of(admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(Long.parseLong(words.get(2)))))
                    .lowWatermarks().get(partition).get().lowWatermark());
            }
            case "groups" -> {
                return Answer.of(admin.listConsumerGroups().all().get().stream().map(group -> group.groupId()).toList());
            }
            case "members" -> {
                return Answer.of(admin.describeConsumerGroups(List.of(name)).all().get().get(name).members().size());
            }
            case "delete_group" -> admin.deleteConsumerGroups(List.of(name)).all().get();
            default -> throw new IllegalArgumentException(operation);
        }
        return Answer.of();
    }

    private static Map<String, Object> configs(List<String> pairs) {
        return pairs.stream().map(pair -> pair.split("=", 2)).collect(Collectors.toMap(pair -> pair[0], pair -> pair[1]));
    }

    private static Map<TopicPartition, OffsetAndMetadata> offsets(String topic, List<String> words) {
        Map<TopicPartition, OffsetAndMetadata> found = new HashMap<>();
        for (int at = 0; at < words.size(); at += 2)
            found.put(new TopicPartition(topic, Integer.parseInt(words.get(at))),
                      new OffsetAndMetadata(Long.parseLong(words.get(at + 1))));
        return found;
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, ByteBuffer in) {
        int partition = in.getInt();
        in.getLong();
        long timestamp = in.getLong();
        byte[] key = bytes(in), value = bytes(in);
        RecordHeaders headers = new RecordHeaders();
        for (int left = in.getInt(); left > 0; left--) headers.add(string(bytes(in)), bytes(in));
        return new ProducerRecord<>(topic, partition < 0 ? null : partition, timestamp < 0 ? null : timestamp, key, value, headers);
    }

    private static void write(DataOutputStream out, ConsumerRecord<byte[], byte[]> record) throws IOException {
        out.writeInt(record.partition());
        out.writeLong(record.offset());
        out.writeLong(record.timestamp());
        sized(out, record.key());
        sized(out, record.value());
        Header[] headers = record.headers().toArray();
        out.writeInt(headers.length);
        for (Header header : headers) {
            sized(out, header.key().getBytes(StandardCharsets.UTF_8));
            sized(out, header.value());
        }
    }

    private static byte[] bytes(ByteBuffer in) {
        int length = in.getInt();
        if (length < 0) return null;
        byte[] found = new byte[length];
        in.get(found);
        return found;
    }

    private static void sized(DataOutputStream out, byte[] bytes) throws IOException {
        out.writeInt(bytes == null ? -1 : bytes.length);
        if (bytes != null) out.write(bytes);
    }

    private static String string(byte[] bytes) { return new String(bytes, StandardCharsets.UTF_8); }
}
