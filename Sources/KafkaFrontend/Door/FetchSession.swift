internal import KafkaProtocol
internal import OrderedCollections

/// What a client fetches, kept from one request to the next: its requests then name only what they change, and the
/// answers only what is new (KIP-227).
///
/// A connection has one at most, which ends with it: nobody goes on with another's, and none is left behind.
final class FetchSession {
    /// Partitions of a session: about as many as a request has room for. Who reads more names them all each time.
    static let partitionsMax = 10_000

    let id: Int32
    /// Whether its requests name topics by their ids.
    let isByID: Bool
    /// What the next request has to say.
    private(set) var epoch: Int32
    /// Memory that it takes, in bytes, counted high: names that partitions share count for each.
    private(set) var bytes = 0
    /// In the order of the next answer.
    private var partitions: OrderedDictionary<Place, Kept> = [:]

    init(id: Int32, epoch: Int32 = 1, isByID: Bool) {
        (self.id, self.epoch, self.isByID) = (id, epoch, isByID)
    }

    var count: Int { partitions.count }

    /// Takes what a request changes. What it forgets goes last.
    func change(_ topics: [FetchRequest.FetchTopic], forgetting forgotten: [FetchRequest.ForgottenTopic] = []) {
        for topic in topics {
            for wanted in topic.partitions {
                let place = Place(topic: topic.topic, topicId: topic.topicId, partition: wanted.partition)
                if let index = partitions.index(forKey: place) {
                    partitions.values[index].wanted = wanted
                } else {
                    partitions[place] = Kept(wanted: wanted)
                    bytes += place.bytes
                }
            }
        }
        let gone = Set(
            forgotten.flatMap { topic in
                topic.partitions.map { Place(topic: topic.topic, topicId: topic.topicId, partition: $0) }
            })
        guard !gone.isEmpty else { return }
        // Others, not fewer: the memory goes back.
        partitions = partitions.filter { !gone.contains($0.key) }
        bytes = partitions.keys.reduce(0) { $0 + $1.bytes }
    }

    /// The request that it goes on with has come. After the largest epoch comes 1.
    func advance() { epoch = epoch == .max ? 1 : epoch + 1 }

    /// All of it, as a request would name it, in the order of the next answer.
    var topics: [FetchRequest.FetchTopic] {
        var topics: [FetchRequest.FetchTopic] = []
        for (place, kept) in partitions {
            if topics.last?.topic != place.topic || topics.last?.topicId != place.topicId {
                var topic = FetchRequest.FetchTopic()
                (topic.topic, topic.topicId) = (place.topic, place.topicId)
                topics.append(topic)
            }
            topics[topics.count - 1].partitions.append(kept.wanted)
        }
        return topics
    }

    /// Whether the client does not know of one of ``topics``' partitions what there is to say.
    /// - Parameter index: In the order of ``topics``.
    func isNews(_ data: FetchResponse.PartitionData, at index: Int) -> Bool {
        Bounds(data) != partitions.values[index].told || data.errorCode != .none || data.records?.count ?? 0 > 0
    }

    /// The client has been told. The next answer has those last that had records, so each has its turn.
    func tell(_ response: FetchResponse, of indices: [Int]) {
        var served: [Int] = []
        for (index, data) in zip(indices, response.responses.lazy.flatMap(\.partitions)) {
            // Who was told of an error is told when it is over.
            partitions.values[index].told = data.errorCode == .none ? Bounds(data) : nil
            if data.records?.count ?? 0 > 0 { served.append(index) }
        }
        // They may be the last already.
        guard let first = served.first, first + served.count < count else { return }
        let last = Set(served)
        let order = (first..<count).filter { !last.contains($0) } + served
        let moved = order.map { partitions.elements[$0] }
        partitions.removeLast(count - first)
        for (place, kept) in moved { partitions[place] = kept }
    }

    private struct Place: Hashable {
        let topic: String
        let topicId: Uuid
        let partition: Int32

        /// Of an entry with this key, and as much again for what is allocated ahead.
        var bytes: Int { 300 + topic.utf8.count }
    }

    private struct Kept {
        var wanted: FetchRequest.FetchPartition
        var told: Bounds?
    }

    private struct Bounds: Equatable {
        let highWatermark: Int64
        let logStartOffset: Int64

        init(_ data: FetchResponse.PartitionData) {
            (highWatermark, logStartOffset) = (data.highWatermark, data.logStartOffset)
        }
    }
}

// Requests that begin, go on with, or end a session.
extension KafkaDoor {
    /// Makes whole a request that goes on with a session.
    /// - Returns: why it cannot go on; the client then begins anew.
    func enterSession(_ request: inout FetchRequest, _ call: KafkaCall) -> KafkaError? {
        defer { request.forgottenTopicsData = [] }
        let connection = call.connection
        switch request.sessionEpoch {
        case 0:
            beginSession(request, call)
        case -1:
            if connection.session?.id == request.sessionId { endSession(of: connection) }
            return nil
        default:
            guard let session = connection.session, session.id == request.sessionId else {
                return .fetchSessionIdNotFound
            }
            guard session.epoch == request.sessionEpoch else { return .invalidFetchSessionEpoch }
            guard session.isByID == (call.version >= 13) else { return .fetchSessionTopicIdError }
            session.advance()
            if !request.topics.isEmpty || !request.forgottenTopicsData.isEmpty {
                sessionBytes -= session.bytes
                session.change(request.topics, forgetting: request.forgottenTopicsData)
                sessionBytes += session.bytes
            }
            counters.incrementalFetches += 1
            if session.count == 0 {
                endSession(of: connection)
            } else if !hasRoom(for: session) {
                endSession(of: connection)
                return .fetchSessionIdNotFound
            }
            request.topics = []
        }
        if let session = connection.session { request.topics = session.topics }
        return nil
    }

    /// A client that there is no room for is told that it has none, and names all partitions each time.
    private func beginSession(_ request: FetchRequest, _ call: KafkaCall) {
        endSession(of: call.connection)
        lastSession = lastSession == .max ? 1 : lastSession + 1
        let session = FetchSession(id: lastSession, isByID: call.version >= 13)
        session.change(request.topics)
        sessionBytes += session.bytes
        call.connection.session = session
        if session.count == 0 || !hasRoom(for: session) { endSession(of: call.connection) }
    }

    private func hasRoom(for session: FetchSession) -> Bool {
        session.count <= FetchSession.partitionsMax && sessionBytes <= options.sessionBytesMax
    }

    func endSession(of connection: DoorConnection) {
        sessionBytes -= connection.session?.bytes ?? 0
        connection.session = nil
    }
}
