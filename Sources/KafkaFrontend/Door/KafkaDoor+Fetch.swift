internal import BrokerCore
internal import KafkaProtocol
internal import Logging
internal import RecordFormat
internal import TopicLog

/// A fetch request, and what its partitions are.
final class WaitingFetch {
    let request: FetchRequest
    let call: KafkaCall
    /// The one that it began or goes on with: ``FetchRequest/topics`` are all of it.
    let session: FetchSession?
    /// By topic and partition, in the request's order; nil for one that there is not.
    let readers: [FetchReader?]
    /// Tells it from others that were parked.
    let number: UInt64
    /// The answer holds no more, but for a first batch that is longer.
    let bytesMax: Int
    /// It waits for so many: for no more than the answer holds, however many the request says.
    let bytesMin: Int
    /// What was found for it last; ``FetchReader/found`` says where.
    var bytes = 0
    /// Those of its partitions that have grown since, each once.
    private(set) var grown: [FetchReader] = []
    /// Something else happened, to whatever partition.
    var isToBeCountedAnew = false

    init(_ request: FetchRequest, _ call: KafkaCall, _ readers: [FetchReader?], number: UInt64, bytesMax: Int) {
        self.request = request
        self.call = call
        session = request.sessionEpoch == -1 ? nil : call.connection.session
        self.readers = readers
        self.number = number
        self.bytesMax = min(Int(request.maxBytes), bytesMax)
        // However little room there is, a batch is waited for.
        let room = readers.reduce(0) { $0 + max(0, Int($1?.wanted.partitionMaxBytes ?? 0)) }
        bytesMin = min(Int(request.minBytes), self.bytesMax, max(1, room))
    }

    func grew(_ reader: FetchReader) {
        guard reader.grownIn != number else { return }
        reader.grownIn = number
        grown.append(reader)
    }

    /// What has grown is counted.
    func forgetGrown() {
        for reader in grown { reader.grownIn = 0 }
        grown.removeAll(keepingCapacity: true)
    }
}

// Fetch: each partition becomes a range of a file. What finds too little waits, without anybody looking at it until one
// of its partitions grows or its time is over.
extension KafkaDoor {
    /// Partitions that a connection is remembered to have read. Beyond it all are forgotten, and looked up again.
    static let readersMax = 5_000

    /// The longest that a fetch waits, in milliseconds, whatever it says.
    static let fetchWaitMillisecondsMax: Int32 = 600_000

    /// How often it is said that a partition cannot be read, in nanoseconds.
    private static let unreadableNanoseconds: UInt64 = 10_000_000_000

    /// How long a client that was answered before its time is not read from.
    private static let earlyAnswerMilliseconds: UInt32 = 1_000

    /// Deadlines of fetches that were answered, beside two for each connection.
    static let staleDeadlinesMax = 1_000

    /// Serves a fetch: of few partitions at once, of many when it is its connection's turn.
    func takeFetch(_ request: FetchRequest, _ call: KafkaCall) {
        let session = request.sessionEpoch > 0 ? call.connection.session?.count ?? 0 : 0
        let count = request.topics.reduce(session) { $0 + $1.partitions.count }
        guard count > Self.pieceItems || !call.connection.unfinished.isEmpty else { return fetch(request, call) }
        doInPieces(call) { [self] in
            fetch(request, call)
            return false
        }
    }

    private func fetch(_ request: FetchRequest, _ call: KafkaCall) {
        counters.requests += 1
        counters.fetches += 1
        // Whoever asks again does not wait for the first answer.
        answerParked(call.connection)
        var request = request
        if let error = enterSession(&request, call) {
            var response = FetchResponse()
            response.errorCode = error
            return send(call.connection, call.number, .fetch(response, ranges: []))
        }
        if call.connection.readers.count > Self.readersMax { dropReaders(of: call.connection) }
        if readerCount > options.readersMax { forgetReaders() }
        var readers: [FetchReader?] = []
        lastParked += 1
        for topic in request.topics {
            let name = topicName(topic.topic, topic.topicId, byID: call.version >= 13)
            let partitions = name.flatMap(broker.partitions(of:))
            for wanted in topic.partitions {
                let reader = reader(of: call.connection, wanted, partitions)
                if let reader {
                    guard reader.askedIn != lastParked else {
                        return close(call, "Fetch names partition \(wanted.partition) of \(name ?? "") twice")
                    }
                    reader.askedIn = lastParked
                    reader.wanted = wanted
                }
                readers.append(reader)
            }
        }
        let fetch = WaitingFetch(request, call, readers, number: lastParked, bytesMax: options.fetchBytesMax)
        let mustAnswer = request.maxWaitMs <= 0 || readers.isEmpty
        if answerIfEnough(fetch, mustAnswer: mustAnswer) { return }
        counters.parkedFetches += 1
        call.connection.parked = fetch
        for reader in readers { reader?.parkedIn = fetch.number }
        // Those that were answered long before their time must not add up.
        if parkedFetches.count > 2 * connections.count + Self.staleDeadlinesMax {
            parkedFetches.keep { connections[$0.connection]?.parked?.number == $0.number }
        }
        parkedFetches.insert(
            DeadlineHeap.Entry(
                deadline: now + UInt64(min(request.maxWaitMs, Self.fetchWaitMillisecondsMax)) * 1_000_000,
                connection: call.connection.id, number: fetch.number))
    }

    private func reader(
        of connection: DoorConnection, _ wanted: FetchRequest.FetchPartition, _ partitions: [Partition]?
    ) -> FetchReader? {
        guard let partitions, partitions.indices.contains(Int(wanted.partition)), wanted.fetchOffset >= 0 else {
            return partitions.flatMap { list in
                // Of an offset that is none the answer tells what there is.
                list.indices.contains(Int(wanted.partition))
                    ? FetchReader(list[Int(wanted.partition)], connection, at: Offset(.max)) : nil
            }
        }
        let partition = partitions[Int(wanted.partition)]
        if let reader = connection.readers[partition.address] {
            return reader
        }
        let reader = FetchReader(partition, connection, at: Offset(wanted.fetchOffset))
        connection.readers[partition.address] = reader
        readerCount += 1
        readers[partition.address, default: ReaderList()].add(reader)
        return reader
    }

    /// There are too many. Those of clients that do not wait are looked up again when they come back; who waits for
    /// most is answered, and not read from for a while.
    private func forgetReaders() {
        for connection in connections.values where connection.parked == nil { dropReaders(of: connection) }
        guard readerCount > options.readersMax / 4 * 3 else { return }
        for connection in connections.values.sorted(by: { ($0.readers.count, $0.id) > ($1.readers.count, $1.id) }) {
            answerParked(connection, throttleMilliseconds: Self.earlyAnswerMilliseconds)
            dropReaders(of: connection)
            if readerCount <= options.readersMax / 4 * 3 { return }
        }
    }

    func dropReaders(of connection: DoorConnection) {
        readerCount -= connection.readers.count
        for (address, reader) in connection.readers {
            readers[address]?.remove(reader)
            if readers[address]?.all.isEmpty == true { readers[address] = nil }
        }
        connection.readers = [:]
    }

    func forgetDeletedPartitions() {
        for (address, list) in readers where list.all[0].partition.isDeleted {
            for reader in list.all { reader.connection.readers[address] = nil }
            readerCount -= list.all.count
            readers[address] = nil
            unreadableSaidAt[address] = nil
        }
    }

    // MARK: Waiting

    /// A partition has more to read.
    func touchReaders(of partition: Partition) {
        guard let readers = readers[partition.address] else { return }
        for reader in readers.all {
            guard let fetch = reader.connection.parked, fetch.number == reader.parkedIn else { continue }
            fetch.grew(reader)
            touch(reader.connection)
        }
    }

    /// Something happened to partitions that a connection may wait for.
    func touchAll(of connection: DoorConnection) {
        connection.parked?.isToBeCountedAnew = true
        touch(connection)
    }

    private func touch(_ connection: DoorConnection) {
        guard connection.parked != nil, !connection.isTouched else { return }
        connection.isTouched = true
        touched.append(connection)
    }

    func answerTouchedFetches() {
        var (count, time) = (0, FetchTime(since: counters.partitionsLookedAt))
        for connection in touched {
            count += 1
            connection.isTouched = false
            if let fetch = connection.parked, fetch.isToBeCountedAnew || hasEnoughNow(fetch) {
                if answerIfEnough(fetch, mustAnswer: !fetch.isToBeCountedAnew) { connection.parked = nil }
                fetch.isToBeCountedAnew = false
            }
            if time.isOver(counters.partitionsLookedAt, nanosecondsMax: turnNanosecondsMax) { break }
        }
        touched.removeFirst(count)
    }

    /// Whether a parked fetch is to be answered: counts again what has grown, and nothing else.
    private func hasEnoughNow(_ fetch: WaitingFetch) -> Bool {
        defer { fetch.forgetGrown() }
        let isReadCommitted = fetch.request.isolationLevel == 1
        for reader in fetch.grown {
            fetch.bytes -= reader.found
            reader.found = 0
            var data = FetchResponse.PartitionData()
            let room = min(Int(reader.wanted.partitionMaxBytes), fetch.bytesMax - fetch.bytes)
            let (range, hasMore) = read(
                reader, reader.wanted, room, isFirst: fetch.bytes == 0, isReadCommitted: isReadCommitted, &data)
            reader.found = range?.count ?? 0
            fetch.bytes += reader.found
            if hasMore || data.errorCode != .none { return true }
        }
        return fetch.bytes >= fetch.bytesMin
    }

    func answerOverdueFetches() {
        var time = FetchTime(since: counters.partitionsLookedAt)
        while let entry = parkedFetches.popDue(now) {
            guard let connection = connections[entry.connection], connection.parked?.number == entry.number else {
                continue
            }
            answerParked(connection)
            if time.isOver(counters.partitionsLookedAt, nanosecondsMax: turnNanosecondsMax) { return }
        }
    }

    /// Answers a parked fetch with what there is.
    private func answerParked(_ connection: DoorConnection, throttleMilliseconds: UInt32 = 0) {
        guard let fetch = connection.parked else { return }
        connection.parked = nil
        _ = answerIfEnough(fetch, mustAnswer: true, throttleMilliseconds: throttleMilliseconds)
    }

    // MARK: Answering

    /// Answers a fetch when there are as many bytes as it wants, or something to tell.
    private func answerIfEnough(
        _ fetch: WaitingFetch, mustAnswer: Bool, throttleMilliseconds: UInt32 = 0
    ) -> Bool {
        let request = fetch.request
        let isReadCommitted = request.isolationLevel == 1
        var mustAnswer = mustAnswer
        var ranges: [FileRange] = []
        var bytes = 0
        var response = FetchResponse()
        response.sessionId = fetch.session?.id ?? 0
        response.responses.reserveCapacity(request.topics.count)
        var index = 0
        // Of those that the answer is about, where it is not about all.
        var named: [Int] = []
        for topic in request.topics {
            var result = FetchResponse.FetchableTopicResponse()
            result.topic = topic.topic
            result.topicId = topic.topicId
            result.partitions.reserveCapacity(topic.partitions.count)
            for wanted in topic.partitions {
                var data = FetchResponse.PartitionData()
                data.partitionIndex = wanted.partition
                data.highWatermark = -1
                data.records = Records(count: 0)
                if isReadCommitted { data.abortedTransactions = [] }
                if let reader = fetch.readers[index] {
                    reader.found = 0
                    let room = min(Int(wanted.partitionMaxBytes), fetch.bytesMax - bytes)
                    let (range, hasMore) = read(
                        reader, wanted, room, isFirst: ranges.isEmpty, isReadCommitted: isReadCommitted, &data)
                    if let range {
                        data.records = Records(count: range.count)
                        reader.found = range.count
                        bytes += range.count
                        ranges.append(range)
                    }
                    if hasMore { mustAnswer = true }
                } else {
                    counters.partitionsLookedAt += 1
                    data.errorCode = .unknownTopicOrPartition
                }
                if data.errorCode == .unknownTopicOrPartition, fetch.call.version >= 13, topicName(topic.topicId) == nil
                {
                    data.errorCode = .unknownTopicId
                }
                if data.errorCode != .none { mustAnswer = true }
                if fetch.session?.isNews(data, at: index) != false {
                    result.partitions.append(data)
                    if fetch.session != nil { named.append(index) }
                }
                index += 1
            }
            if !result.partitions.isEmpty { response.responses.append(result) }
        }
        fetch.bytes = bytes
        fetch.forgetGrown()
        guard mustAnswer || bytes >= fetch.bytesMin else { return false }
        fetch.session?.tell(response, of: named)
        counters.fetchedBytes += bytes
        let throttle = max(throttleMilliseconds, charge(fetch.call, bytes, \.consume))
        response.throttleTimeMs = Int32(clamping: throttle)
        send(
            fetch.call.connection, fetch.call.number, .fetch(response, ranges: ranges),
            throttleMilliseconds: throttle)
        return true
    }

    private static func aborted(_ found: AbortedTransaction) -> FetchResponse.AbortedTransaction {
        var aborted = FetchResponse.AbortedTransaction()
        aborted.producerId = found.producerID
        aborted.firstOffset = found.firstOffset.rawValue
        return aborted
    }

    /// What can be read of a partition now, and what is to be said about it.
    /// - Returns: `hasMore` where there is more than fits, or than the segment has: nothing is to be waited for then.
    private func read(
        _ reader: FetchReader, _ wanted: FetchRequest.FetchPartition, _ room: Int, isFirst: Bool,
        isReadCommitted: Bool, _ data: inout FetchResponse.PartitionData
    ) -> (range: FileRange?, hasMore: Bool) {
        counters.partitionsLookedAt += 1
        let partition = reader.partition
        guard !partition.isDeleted else {
            data.errorCode = .unknownTopicOrPartition
            return (nil, false)
        }
        if let error = partition.epochError(wanted.currentLeaderEpoch) {
            data.errorCode = error
            return (nil, false)
        }
        var bound = partition.highWatermark
        data.highWatermark = bound.rawValue
        data.logStartOffset = partition.log.logStartOffset.rawValue
        // Whoever reads all is not made to wait for what was known of producers.
        data.lastStableOffset = (partition.log.knownLastStableOffset(below: bound) ?? bound).rawValue
        // Where it is a later one's turn, nothing is looked up.
        guard room > 0 || isFirst else { return (nil, false) }
        // Also back again, where what it found before was too little.
        let start = wanted.fetchOffset >= 0 ? Offset(wanted.fetchOffset) : Offset(.max)
        reader.cursor.seek(start)
        do throws(LogError) {
            if isReadCommitted {
                bound = try partition.log.lastStableOffset(below: bound)
                data.lastStableOffset = bound.rawValue
            }
            let found = try partition.log.fileRange(
                &reader.cursor, below: bound, bytesMax: room, isFirst: isFirst)
            switch found {
            case .range(let range):
                if isReadCommitted {
                    data.abortedTransactions = try partition.log.abortedTransactions(
                        in: range, from: start, below: bound
                    ).map(Self.aborted)
                }
                return (range, reader.cursor.offset < bound)
            case .tooLarge: return (nil, true)
            case .end: break
            case .outOfRange: data.errorCode = .offsetOutOfRange
            case .corrupt: data.errorCode = .kafkaStorageError
            }
        } catch {
            sayUnreadable(partition, wanted.partition, error)
            data.errorCode = .kafkaStorageError
        }
        return (nil, false)
    }

    /// Now and then: clients ask again and again, and many of them.
    private func sayUnreadable(_ partition: Partition, _ index: Int32, _ error: LogError) {
        if let before = unreadableSaidAt[partition.address], now < before + Self.unreadableNanoseconds { return }
        unreadableSaidAt[partition.address] = now
        log.error("cannot be read", metadata: ["partition": "\(partition.topic)-\(index)", "why": "\(error)"])
    }
}

extension Partition {
    /// What is wrong with the epoch that a client knows.
    func epochError(_ epoch: Int32) -> KafkaError? {
        guard epoch >= 0, epoch != log.leaderEpoch.rawValue else { return nil }
        return epoch < log.leaderEpoch.rawValue ? .fencedLeaderEpoch : .unknownLeaderEpoch
    }
}
