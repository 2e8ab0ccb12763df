"""librdkafka through confluent-kafka."""
import confluent_kafka
from confluent_kafka import TopicPartition, admin

from records import Record, Refused

name = 'confluent-kafka'
cannot = set()
QUIET = {'log_level': 0}        # what goes wrong is an exception


def refused(error):
    if isinstance(error, confluent_kafka.KafkaException):
        error = error.args[0]
    return Refused(error.code(), error.str())


def translated(function):
    def wrapper(*arguments, **named):
        try:
            return function(*arguments, **named)
        except confluent_kafka.KafkaException as error:
            raise refused(error) from error
    return wrapper


class Producer:
    @translated
    def __init__(self, bootstrap, **config):
        self.failed = None
        self.producer = confluent_kafka.Producer({
            'bootstrap.servers': bootstrap, 'linger.ms': 5, 'message.max.bytes': 4_000_000, 'message.timeout.ms': 30_000,
            'queue.buffering.max.messages': 1_000_000, **QUIET, **{name.replace('_', '.'): value for name, value in config.items()}})
        if 'transactional_id' in config:
            self.producer.init_transactions(20)

    def _delivered(self, error, message):
        self.failed = self.failed or error

    @translated
    def send(self, topic, records):
        for at, record in enumerate(records):
            optional = {name: value for name, value in (('partition', record.partition), ('timestamp', record.timestamp))
                        if value is not None}
            self.producer.produce(topic, record.value, record.key, headers=list(record.headers) or None,
                                  on_delivery=self._delivered, **optional)
            if at % 1000 == 0:
                self.producer.poll(0)
        left = self.producer.flush(40)
        if self.failed:
            raise refused(self.failed)
        if left:
            raise Refused(-1, f'{left} records were not delivered')

    @translated
    def begin(self):
        self.producer.begin_transaction()

    @translated
    def commit(self):
        self.producer.commit_transaction(20)

    @translated
    def abort(self):
        self.producer.abort_transaction(20)

    @translated
    def send_offsets(self, topic, offsets, consumer):
        self.producer.send_offsets_to_transaction(
            [TopicPartition(topic, partition, offset) for partition, offset in offsets.items()],
            consumer.consumer.consumer_group_metadata(), 20)

    def close(self):
        self.producer.flush(5)


class Consumer:
    @translated
    def __init__(self, bootstrap, **config):
        self.rest = []
        settings = {name.replace('_', '.'): value for name, value in config.items()}
        if settings.get('group.protocol') != 'consumer':
            settings['session.timeout.ms'] = 6000
        self.consumer = confluent_kafka.Consumer({
            'bootstrap.servers': bootstrap, 'group.id': 'unused', 'auto.offset.reset': 'earliest',
            'enable.auto.commit': False, 'fetch.message.max.bytes': 4_000_000, **QUIET, **settings})

    @translated
    def assign(self, topic, partitions):
        self.consumer.assign([TopicPartition(topic, partition, confluent_kafka.OFFSET_BEGINNING) for partition in partitions])

    @translated
    def subscribe(self, topic):
        self.consumer.subscribe([topic])

    @translated
    def poll(self, seconds):
        found = []
        for message in self.consumer.consume(10_000, seconds):
            if message.error():
                raise refused(message.error())
            found.append(Record(message.key(), message.value(), tuple(message.headers() or ()), message.timestamp()[1],
                                message.partition(), message.offset()))
        return found

    @translated
    def assignment(self):
        return {entry.partition for entry in self.consumer.assignment()}

    @translated
    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition, offset))

    @translated
    def commit(self, topic, offsets):
        self.consumer.commit(offsets=[TopicPartition(topic, *entry) for entry in offsets.items()], asynchronous=False)

    @translated
    def committed(self, topic, partition):
        entry, = self.consumer.committed([TopicPartition(topic, partition)], 20)
        return None if entry.offset < 0 else entry.offset

    @translated
    def offset_for_time(self, topic, partition, timestamp):
        entry, = self.consumer.offsets_for_times([TopicPartition(topic, partition, timestamp)], 20)
        return None if entry.offset < 0 else entry.offset

    @translated
    def watermarks(self, topic, partition):
        return self.consumer.get_watermark_offsets(TopicPartition(topic, partition), 20)

    @translated
    def close(self):
        self.consumer.close()


class Admin:
    def __init__(self, bootstrap):
        self.client = admin.AdminClient({'bootstrap.servers': bootstrap, **QUIET})

    def _resource(self, topic):
        return admin.ConfigResource(admin.ConfigResource.Type.TOPIC, topic)

    @translated
    def create_topic(self, topic, partitions, **configs):
        self._all(self.client.create_topics([admin.NewTopic(topic, partitions, 1, config=dict(configs))]))

    @translated
    def delete_topic(self, topic):
        self._all(self.client.delete_topics([topic]))

    @translated
    def topics(self):
        return {name: len(topic.partitions) for name, topic in self.client.list_topics(timeout=20).topics.items()}

    @translated
    def configs(self, topic):
        return {name: entry.value for name, entry in self._all(self.client.describe_configs([self._resource(topic)])).items()}

    @translated
    def alter_config(self, topic, name, value):
        resource = self._resource(topic)
        resource.add_incremental_config(admin.ConfigEntry(
            name, value, incremental_operation=admin.AlterConfigOpType.SET))
        self._all(self.client.incremental_alter_configs([resource]))

    @translated
    def create_partitions(self, topic, total):
        self._all(self.client.create_partitions([admin.NewPartitions(topic, total)]))

    @translated
    def delete_records(self, topic, partition, before):
        return self._all(self.client.delete_records([TopicPartition(topic, partition, before)])).low_watermark

    @translated
    def groups(self):
        return {group.group_id for group in self.client.list_consumer_groups().result(20).valid}

    @translated
    def members(self, group):
        return len(self._all(self.client.describe_consumer_groups([group])).members)

    @translated
    def delete_group(self, group):
        self._all(self.client.delete_consumer_groups([group]))

    def _all(self, futures):
        answer, = (future.result(20) for future in futures.values())
        return answer

    def close(self):
        pass
