"""kafka-python."""
import re

import kafka
from kafka import errors
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.structs import OffsetAndMetadata, TopicPartition

from records import Record, Refused

name = 'kafka-python'
cannot = {'group.protocol', 'null header'}


def translated(function):
    def wrapper(*arguments, **named):
        try:
            return function(*arguments, **named)
        except errors.KafkaError as error:
            raise Refused(getattr(error, 'errno', -1), repr(error)) from error
    return wrapper


class Producer:
    @translated
    def __init__(self, bootstrap, **config):
        if config.get('compression_type') == 'none':
            config['compression_type'] = None
        if 'acks' in config and config['acks'] != 'all':
            config |= {'acks': int(config['acks']), 'enable_idempotence': False}
        self.producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, linger_ms=5, max_request_size=4_000_000,
                                            request_timeout_ms=20_000, **config)
        if 'transactional_id' in config:
            self.producer.init_transactions()

    @translated
    def send(self, topic, records):
        futures = [self.producer.send(topic, record.value, record.key, list(record.headers), record.partition,
                                      record.timestamp) for record in records]
        self.producer.flush(40)
        for future in futures:
            future.get(20)

    @translated
    def begin(self):
        self.producer.begin_transaction()

    @translated
    def commit(self):
        self.producer.commit_transaction()

    @translated
    def abort(self):
        self.producer.abort_transaction()

    @translated
    def send_offsets(self, topic, offsets, consumer):
        self.producer.send_offsets_to_transaction(
            {TopicPartition(topic, partition): OffsetAndMetadata(offset, '', -1) for partition, offset in offsets.items()},
            consumer.consumer.group_metadata())

    def close(self):
        self.producer.close(5)


class Consumer:
    @translated
    def __init__(self, bootstrap, **config):
        self.consumer = kafka.KafkaConsumer(
            bootstrap_servers=bootstrap, auto_offset_reset='earliest', enable_auto_commit=False, session_timeout_ms=6000,
            heartbeat_interval_ms=500, **{'group_id': None, **config})

    @translated
    def assign(self, topic, partitions):
        self.consumer.assign([TopicPartition(topic, partition) for partition in partitions])
        self.consumer.seek_to_beginning()

    @translated
    def subscribe(self, topic):
        self.consumer.subscribe([topic])

    @translated
    def poll(self, seconds):
        polled = self.consumer.poll(int(seconds * 1000), 10_000)
        return [Record(record.key, record.value, tuple(record.headers), record.timestamp, record.partition, record.offset)
                for records in polled.values() for record in records]

    @translated
    def assignment(self):
        return {entry.partition for entry in self.consumer.assignment()}

    @translated
    def seek(self, topic, partition, offset):
        self.consumer.seek(TopicPartition(topic, partition), offset)

    @translated
    def commit(self, topic, offsets):
        self.consumer.commit({TopicPartition(topic, partition): OffsetAndMetadata(offset, '', -1)
                              for partition, offset in offsets.items()})

    @translated
    def committed(self, topic, partition):
        return self.consumer.committed(TopicPartition(topic, partition))

    @translated
    def offset_for_time(self, topic, partition, timestamp):
        entry, = self.consumer.offsets_for_times({TopicPartition(topic, partition): timestamp}).values()
        return entry and entry.offset

    @translated
    def watermarks(self, topic, partition):
        at = TopicPartition(topic, partition)
        return self.consumer.beginning_offsets([at])[at], self.consumer.end_offsets([at])[at]

    @translated
    def close(self):
        self.consumer.close()


class Admin:
    @translated
    def __init__(self, bootstrap):
        self.client = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)

    @translated
    def create_topic(self, topic, partitions, **configs):
        self.client.create_topics(
            {topic: {'num_partitions': partitions, 'replication_factor': 1, 'configs': dict(configs)}})

    @translated
    def delete_topic(self, topic):
        self.client.delete_topics([topic])

    @translated
    def topics(self):
        return {topic['name']: len(topic['partitions']) for topic in self.client.describe_topics()}

    @translated
    def configs(self, topic):
        found = self.client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter='all')
        return {name: entry['value'] for resources in found.values() for name, entry in resources[topic].items()}

    @translated
    def alter_config(self, topic, name, value):
        answer = self.client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])
        if answer['topic'][topic] != 'OK':
            raise Refused(int(re.search(r'\d+', answer['topic'][topic])[0]), answer)

    @translated
    def create_partitions(self, topic, total):
        self.client.create_partitions({topic: total})

    @translated
    def delete_records(self, topic, partition, before):
        at = TopicPartition(topic, partition)
        return self.client.delete_records({at: before})[at]['low_watermark']

    @translated
    def groups(self):
        return {group['group_id'] for group in self.client.list_groups()}

    @translated
    def members(self, group):
        return len(self.client.describe_groups([group])[group]['members'])

    @translated
    def delete_group(self, group):
        self.client.delete_groups([group])

    def close(self):
        self.client.close()
