import BrokerCore
import KafkaProtocol
import RecordFormat
import Testing
import TopicLog

@testable import KafkaFrontend

/// Kafka's transaction requests, from the door to the log and back.
@Suite struct DoorTransactionTests {
    private struct Client {
        let bench: DoorBench
        let connection: UInt64

        init(_ bench: DoorBench) {
            self.bench = bench
            connection = bench.connect()
        }

        func initialize(_ id: String = "x", timeout: Int32 = 60_000, version: Int16 = 4) throws
            -> InitProducerIdResponse
        {
            var request = InitProducerIdRequest()
            request.transactionalId = id
            request.transactionTimeoutMs = timeout
            return try bench.ask(connection, version, request)
        }

        func begin(_ id: String = "x") throws -> ProducerEpoch {
            for _ in 0..<10 {
                let found = try initialize(id)
                if found.errorCode == .none { return .init(producerID: found.producerId, epoch: found.producerEpoch) }
                #expect(found.errorCode == .concurrentTransactions)
            }
            return try #require(nil)
        }

        func add(
            _ producer: ProducerEpoch, _ partitions: [Int32] = [0], topic: String = "t", version: Int16 = 3
        ) throws -> [KafkaError] {
            var request = AddPartitionsToTxnRequest()
            request.transactionalId = "x"
            request.producerId = producer.producerID
            request.producerEpoch = producer.epoch
            var wanted = AddPartitionsToTxnRequest.AddPartitionsToTxnTopic()
            wanted.name = topic
            wanted.partitions = partitions
            request.topics = [wanted]
            let response = try bench.ask(connection, version, request)
            return response.resultsByTopic.flatMap(\.resultsByPartition).map(\.partitionErrorCode)
        }

        func addOffsets(_ producer: ProducerEpoch) throws -> KafkaError {
            var request = AddOffsetsToTxnRequest()
            request.transactionalId = "x"
            request.producerId = producer.producerID
            request.producerEpoch = producer.epoch
            request.groupId = "g"
            return try bench.ask(connection, 3, request).errorCode
        }

        func end(_ producer: ProducerEpoch, commit: Bool, version: Int16 = 4) throws -> KafkaError {
            var request = EndTxnRequest()
            request.transactionalId = "x"
            request.producerId = producer.producerID
            request.producerEpoch = producer.epoch
            request.committed = commit
            return try bench.ask(connection, version, request).errorCode
        }

        func commitOffset(_ producer: ProducerEpoch, _ offset: Int64, version: Int16 = 4) throws -> KafkaError {
            var partition = TxnOffsetCommitRequest.TxnOffsetCommitRequestPartition()
            partition.committedOffset = offset
            var topic = TxnOffsetCommitRequest.TxnOffsetCommitRequestTopic()
            topic.name = "t"
            topic.partitions = [partition]
            var request = TxnOffsetCommitRequest()
            request.transactionalId = "x"
            request.groupId = "g"
            request.producerId = producer.producerID
            request.producerEpoch = producer.epoch
            request.topics = [topic]
            return try #require(try bench.ask(connection, version, request).topics.first?.partitions.first).errorCode
        }

        func committedOffset(requireStable: Bool) throws -> (offset: Int64, error: KafkaError)? {
            var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
            topic.name = "t"
            topic.partitionIndexes = [0]
            var group = OffsetFetchRequest.OffsetFetchRequestGroup()
            group.groupId = "g"
            group.topics = [topic]
            var request = OffsetFetchRequest()
            request.groups = [group]
            request.requireStable = requireStable
            let found = try bench.ask(connection, 8, request).groups.first?.topics.first?.partitions.first
            return found.map { ($0.committedOffset, $0.errorCode) }
        }

        /// One record of a transaction.
        func produce(_ producer: ProducerEpoch, _ sequence: Int32, version: Int16 = 9) throws -> KafkaError {
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 200, alignment: 16)
            defer { unsafe memory.deallocate() }
            var builder = unsafe RecordBatchBuilder(buffer: memory)
            _ = builder.append(key: nil, value: [1], timestampMilliseconds: 1)
            let size = builder.seal(
                producerID: producer.producerID, epoch: producer.epoch, baseSequence: sequence, isTransactional: true)
            let batch = unsafe Array(memory[..<size])
            return try bench.produce(connection, "t", batch, version: version, transactionalID: "x").errorCode
        }

        func fetch(isReadCommitted: Bool, at offset: Int64 = 0, maxWaitMs: Int32 = 0) -> UInt32 {
            var request = DoorBench.fetch([("t", 0, offset)], maxWaitMs: maxWaitMs)
            request.isolationLevel = isReadCommitted ? 1 : 0
            return bench.post(connection, 12, request)
        }

        func latest(isReadCommitted: Bool) throws -> Int64? {
            var partition = ListOffsetsRequest.ListOffsetsPartition()
            partition.timestamp = -1
            var topic = ListOffsetsRequest.ListOffsetsTopic()
            topic.name = "t"
            topic.partitions = [partition]
            var request = ListOffsetsRequest()
            request.isolationLevel = isReadCommitted ? 1 : 0
            request.topics = [topic]
            return try bench.ask(connection, 7, request).topics.first?.partitions.first?.offset
        }
    }

    private func makeBench() throws -> (DoorBench, Client) {
        let bench = try DoorBench()
        try bench.createTopic("t", partitions: 2)
        return (bench, Client(bench))
    }

    @Test func readersOfWhatIsCommittedWaitForTheEnd() throws {
        let (bench, client) = try makeBench()
        let producer = try client.begin()
        #expect(try client.produce(producer, 0) == .invalidTxnState)
        #expect(try client.produce(producer, 0, version: 11) == .transactionAbortable)
        #expect(try client.add(producer, [0, 1]) == [.none, .none])
        #expect(try client.produce(producer, 0) == .none)
        #expect(try client.latest(isReadCommitted: true) == 0)
        #expect(try client.latest(isReadCommitted: false) == 1)
        let open = try #require(try bench.fetched(client.fetch(isReadCommitted: true)).first)
        #expect(open.bytes.isEmpty && open.data.lastStableOffset == 0 && open.data.highWatermark == 1)
        #expect(open.data.abortedTransactions?.isEmpty == true)
        let dirty = try #require(try bench.fetched(client.fetch(isReadCommitted: false)).first)
        #expect(!dirty.bytes.isEmpty && dirty.data.lastStableOffset == 0 && dirty.data.highWatermark == 1)
        #expect(dirty.data.abortedTransactions == nil)
        let reader = Client(bench)
        let waiting = reader.fetch(isReadCommitted: true, maxWaitMs: 20_000)
        #expect(!bench.isAnswered(waiting))
        #expect(try client.end(producer, commit: true) == .none)
        let decided = try #require(try bench.fetched(waiting).first)
        #expect(decided.data.lastStableOffset == 2)
        #expect(decided.bytes.count > EndTransactionMarker.batchBytes)
        #expect(decided.data.abortedTransactions?.isEmpty == true)
    }

    @Test func readersAreToldWhatWasAborted() throws {
        let (bench, client) = try makeBench()
        let producer = try client.begin()
        for round in 0..<20 as Range<Int32> {
            #expect(try client.add(producer) == [.none])
            #expect(try client.produce(producer, round) == .none)
            #expect(try client.end(producer, commit: false) == .none)
        }
        let all = try #require(try bench.fetched(client.fetch(isReadCommitted: true)).first)
        #expect(all.data.abortedTransactions?.map(\.firstOffset) == (0..<20).map { $0 * 2 })
        #expect(all.data.abortedTransactions?.allSatisfy { $0.producerId == producer.producerID } == true)
        #expect(try bench.fetched(client.fetch(isReadCommitted: false)).first?.data.abortedTransactions == nil)
        // No more than what is in the range.
        var request = DoorBench.fetch([("t", 0, 4)], partitionMaxBytes: 400)
        request.isolationLevel = 1
        let some = try #require(try bench.fetched(bench.post(client.connection, 12, request)).first)
        #expect(some.data.abortedTransactions?.first?.firstOffset == 4)
        #expect((2...4).contains(some.data.abortedTransactions?.count ?? 0))
    }

    @Test func offsetsOfATransaction() throws {
        let (_, client) = try makeBench()
        let producer = try client.begin()
        #expect(try client.commitOffset(producer, 5, version: 3) == .invalidTxnState)
        #expect(try client.commitOffset(producer, 5) == .transactionAbortable)
        #expect(try client.addOffsets(producer) == .none)
        #expect(try client.commitOffset(producer, 5) == .none)
        #expect(try #require(try client.committedOffset(requireStable: false)) == (-1, .none))
        #expect(try #require(try client.committedOffset(requireStable: true)) == (-1, .unstableOffsetCommit))
        #expect(try client.end(producer, commit: true) == .none)
        #expect(try #require(try client.committedOffset(requireStable: true)) == (5, .none))
    }

    @Test func whoIsFencedIsToldInItsVersionsWords() throws {
        let (_, client) = try makeBench()
        let old = try client.begin()
        #expect(try client.add(old) == [.none])
        let new = try client.begin()
        #expect(new.epoch == old.epoch + 2)
        #expect(try client.add(old, version: 1) == [.invalidProducerEpoch])
        #expect(try client.add(old, version: 3) == [.producerFenced])
        #expect(try client.end(old, commit: true, version: 1) == .invalidProducerEpoch)
        #expect(try client.end(old, commit: true) == .producerFenced)
        #expect(try client.produce(old, 0) == .invalidProducerEpoch)
        #expect(try client.add(new, [0, 7]) == [.operationNotAttempted, .unknownTopicOrPartition])
        #expect(try client.initialize(timeout: 0).errorCode == .invalidTransactionTimeout)
        #expect(try client.initialize("").errorCode == .invalidRequest)
    }

    /// A producer names its id and its epoch, or neither of them.
    @Test func aProducerIsNamedWhole() throws {
        let (bench, client) = try makeBench()
        let first = try client.begin()
        func initialize(_ id: String?, _ producerID: Int64, _ epoch: Int16) throws -> InitProducerIdResponse {
            var request = InitProducerIdRequest()
            (request.transactionalId, request.transactionTimeoutMs) = (id, 60_000)
            (request.producerId, request.producerEpoch) = (producerID, epoch)
            return try bench.ask(client.connection, 4, request)
        }
        let renewed = try initialize("x", first.producerID, first.epoch)
        #expect(renewed.errorCode == .none && renewed.producerEpoch == first.epoch + 1)
        let second = ProducerEpoch(producerID: first.producerID, epoch: renewed.producerEpoch)
        for id in ["x", "y", nil] {
            for (producerID, epoch) in [(second.producerID, Int16(-1)), (-1, 0), (-1, second.epoch)] {
                let refused = try initialize(id, producerID, epoch)
                #expect(refused.errorCode == .invalidRequest)
                #expect(refused.producerId == -1 && refused.producerEpoch == -1)
            }
        }
        #expect(try initialize("x", -7, -7).errorCode == .invalidRequest)
        // Nobody has got its epoch meanwhile.
        #expect(try client.add(second) == [.none])
        #expect(try initialize(nil, -1, -1).errorCode == .none)
    }

    @Test func operators() throws {
        let (bench, client) = try makeBench()
        let producer = try client.begin()
        #expect(try client.add(producer, [0, 1]) == [.none, .none])
        #expect(try client.produce(producer, 0) == .none)
        var describe = DescribeTransactionsRequest()
        describe.transactionalIds = ["x", "y"]
        let described = try bench.ask(client.connection, 0, describe).transactionStates
        #expect(described.map(\.errorCode) == [.none, .transactionalIdNotFound])
        #expect(described[0].transactionState == "Ongoing" && described[0].topics.first?.partitions == [0, 1])
        var list = ListTransactionsRequest()
        list.stateFilters = ["Ongoing", "Nonsense"]
        let listed = try bench.ask(client.connection, 1, list)
        #expect(listed.transactionStates.map(\.transactionalId) == ["x"])
        #expect(listed.unknownStateFilters == ["Nonsense"])
        var topic = DescribeProducersRequest.TopicRequest()
        topic.name = "t"
        topic.partitionIndexes = [0, 9]
        var producers = DescribeProducersRequest()
        producers.topics = [topic]
        let found = try bench.ask(client.connection, 0, producers).topics.first?.partitions
        #expect(found?.map(\.errorCode) == [.none, .unknownTopicOrPartition])
        #expect(found?.first?.activeProducers.first?.currentTxnStartOffset == 0)
        var markerTopic = WriteTxnMarkersRequest.WritableTxnMarkerTopic()
        markerTopic.name = "t"
        markerTopic.partitionIndexes = [0, 9]
        var marker = WriteTxnMarkersRequest.WritableTxnMarker()
        marker.producerId = producer.producerID
        marker.producerEpoch = producer.epoch
        marker.topics = [markerTopic]
        var markers = WriteTxnMarkersRequest()
        markers.markers = [marker]
        let written = try bench.ask(client.connection, 1, markers).markers.first?.topics.first?.partitions
        #expect(written?.map(\.errorCode) == [.none, .unknownTopicOrPartition])
        #expect(try client.latest(isReadCommitted: true) == 2)
    }

    /// Markers of a coordinator that another one has followed come too late; those of the broker's own never do.
    @Test func markersOfAnOlderCoordinatorAreRefused() throws {
        let (bench, client) = try makeBench()
        let producer = try client.begin()
        func write(_ coordinatorEpoch: Int32) throws -> KafkaError? {
            var topic = WriteTxnMarkersRequest.WritableTxnMarkerTopic()
            (topic.name, topic.partitionIndexes) = ("t", [0])
            var marker = WriteTxnMarkersRequest.WritableTxnMarker()
            (marker.producerId, marker.producerEpoch) = (producer.producerID, producer.epoch)
            (marker.coordinatorEpoch, marker.topics) = (coordinatorEpoch, [topic])
            var request = WriteTxnMarkersRequest()
            request.markers = [marker]
            let written = try bench.ask(client.connection, 1, request).markers.first?.topics.first?.partitions
            return written?.first?.errorCode
        }
        #expect(try write(5) == KafkaError.none)
        let end = bench.broker.partitions(of: "t")?.first?.log.logEndOffset
        #expect(try write(4) == .transactionCoordinatorFenced)
        #expect(bench.broker.partitions(of: "t")?.first?.log.logEndOffset == end)
        #expect(try write(5) == KafkaError.none)
        #expect(try client.add(producer) == [.none])
        #expect(try client.produce(producer, 0) == .none)
        #expect(try client.end(producer, commit: true) == .none)
    }
}
