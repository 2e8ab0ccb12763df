"""aiokafka: its event loop turns on a thread of its own."""
import asyncio
import threading

import aiokafka
from aiokafka import admin, errors
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from records import Record, Refused

name = 'aiokafka'
cannot = {'group.protocol', 'delete_group'}
_loops = []


def run(coroutine, seconds=45):
    """Runs a coroutine on the loop that all clients of this process share."""
    if not _loops:
        _loops.append(asyncio.new_event_loop())
        threading.Thread(target=_loops[0].run_forever, daemon=True).start()
    try:
        return asyncio.run_coroutine_threadsafe(coroutine, _loops[0]).result(seconds)
    except errors.KafkaError as error:
        raise Refused(getattr(error, 'errno', -1), repr(error)) from error


async def _made(kind, *arguments, **config):
    """A client: made on the loop, and started."""
    client = kind(*arguments, **config)
    await client.start()
    return client


async def _called(function, *arguments):
    return function(*arguments)


def _checked(answer):
    """An answer to an administrator, by its topics' or resources' error codes, which aiokafka does not look at."""
    for entry in getattr(answer, 'topic_errors', None) or getattr(answer, 'topic_error_codes', None) or \
            getattr(answer, 'resources', None) or []:
        code = next(part for part in entry if type(part) is int)
        if code:
            raise Refused(code, str(entry))
    return answer


class Producer:
    def __init__(self, bootstrap, **config):
        if config.get('compression_type') == 'none':
            config['compression_type'] = None
        if config.get('acks') in ('0', '1'):
            config['acks'] = int(config['acks'])
        self.producer = run(_made(aiokafka.AIOKafkaProducer, bootstrap_servers=bootstrap, linger_ms=5,
                                  max_request_size=4_000_000, request_timeout_ms=20_000, **config))

    def send(self, topic, records):
        async def everything():
            futures = [await self.producer.send(topic, record.value, record.key, record.partition, record.timestamp,
                                                list(record.headers)) for record in records]
            await asyncio.gather(*futures)
        run(everything(), 120)

    def begin(self):
        run(self.producer.begin_transaction())

    def commit(self):
        run(self.producer.commit_transaction())

    def abort(self):
        run(self.producer.abort_transaction())

    def send_offsets(self, topic, offsets, consumer):
        run(self.producer.send_offsets_to_transaction(
            {TopicPartition(topic, partition): OffsetAndMetadata(offset, '') for partition, offset in offsets.items()},
            consumer.group))

    def close(self):
        run(self.producer.stop())


class Consumer:
    def __init__(self, bootstrap, **config):
        self.group = config.get('group_id')
        self.consumer = run(_made(
            aiokafka.AIOKafkaConsumer, bootstrap_servers=bootstrap, auto_offset_reset='earliest', enable_auto_commit=False,
            session_timeout_ms=6000, heartbeat_interval_ms=500, max_partition_fetch_bytes=4_000_000,
            metadata_max_age_ms=2000, **config))

    def assign(self, topic, partitions):
        run(_called(self.consumer.assign, [TopicPartition(topic, partition) for partition in partitions]))
        run(self.consumer.seek_to_beginning())

    def subscribe(self, topic):
        run(_called(self.consumer.subscribe, [topic]))

    def poll(self, seconds):
        polled = run(self.consumer.getmany(timeout_ms=int(seconds * 1000)))
        return [Record(record.key, record.value, tuple(record.headers), record.timestamp, record.partition, record.offset)
                for records in polled.values() for record in records]

    def assignment(self):
        return {entry.partition for entry in self.consumer.assignment()}

    def seek(self, topic, partition, offset):
        run(_called(self.consumer.seek, TopicPartition(topic, partition), offset))

    def commit(self, topic, offsets):
        run(self.consumer.commit({TopicPartition(topic, partition): offset for partition, offset in offsets.items()}))

    def committed(self, topic, partition):
        return run(self.consumer.committed(TopicPartition(topic, partition)))

    def offset_for_time(self, topic, partition, timestamp):
        entry, = run(self.consumer.offsets_for_times({TopicPartition(topic, partition): timestamp})).values()
        return entry and entry.offset

    def watermarks(self, topic, partition):
        at = TopicPartition(topic, partition)
        return run(self.consumer.beginning_offsets([at]))[at], run(self.consumer.end_offsets([at]))[at]

    def close(self):
        run(self.consumer.stop())


class Admin:
    def __init__(self, bootstrap):
        self.client = run(_made(admin.AIOKafkaAdminClient, bootstrap_servers=bootstrap))

    def create_topic(self, topic, partitions, **configs):
        _checked(run(self.client.create_topics([admin.NewTopic(topic, partitions, 1, topic_configs=dict(configs))])))

    def delete_topic(self, topic):
        _checked(run(self.client.delete_topics([topic])))

    def topics(self):
        return {topic['topic']: len(topic['partitions']) for topic in run(self.client.describe_topics())}

    def configs(self, topic):
        answer, = run(self.client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)]))
        (code, message, _, _, entries), = answer.resources
        if code:
            raise Refused(code, message)
        return {entry[0]: entry[1] for entry in entries}

    def alter_config(self, topic, name, value):
        answer, = run(self.client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})]))
        _checked(answer)

    def create_partitions(self, topic, total):
        _checked(run(self.client.create_partitions({topic: admin.NewPartitions(total)})))

    def delete_records(self, topic, partition, before):
        at = TopicPartition(topic, partition)
        return run(self.client.delete_records({at: admin.RecordsToDelete(before)}))[at]

    def groups(self):
        return {group[0] for group in run(self.client.list_consumer_groups())}

    def members(self, group):
        answer, = run(self.client.describe_consumer_groups([group]))
        (code, _, _, _, _, members, *_), = answer.groups
        if code:
            raise Refused(code, group)
        return len(members)

    def close(self):
        run(self.client.close())
