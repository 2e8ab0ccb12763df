internal import BrokerCore
internal import Logging
internal import RDMATransport
internal import TopicLog
internal import TopicProtocol

// Requests that look after topics.
extension FabricDoor {
    func serve(_ request: AdminRequest, id: UInt32, _ session: Session) {
        do throws(BrokerError) {
            switch request {
            case .alterConfigs(let topic, let changes):
                let list = changes.map { change in
                    change.value.map { "\(change.name)=\($0)" } ?? "\(change.name) deleted"
                }
                stage(
                    .alter(topic, changes), session, id, "topic altered",
                    ["topic": "\(topic)", "configs": "\(list.joined(separator: " "))"])
            case .describeConfigs(let topic):
                let configs = try broker.describeConfigs(topic)
                answer(session, id) { ConfigDescription.encode(configs, into: &$0) }
            case .addPartitions(let topic, let total):
                stage(
                    .create(TopicCreation(name: topic, partitions: Int(total), configs: nil)), session, id,
                    "partitions added", ["topic": "\(topic)", "partitions": "\(total)"])
            case .listOffsets(let partition, let timestamp, let isolation):
                let listed = try broker.listOffsets(
                    partition, timestamp: timestamp, isReadCommitted: isolation == .readCommitted)
                answer(session, id) { listed.encode(into: &$0) }
            case .deleteRecords(let partition, let offset):
                stage(
                    .deleteRecords(partition, before: offset), session, id, "records deleted",
                    ["partition": "\(partition)", "before": "\(offset)"])
            }
        } catch {
            answer(session, id, error)
        }
    }

    /// What a client asked to change, by its session and request.
    struct Change: Hashable {
        let session: UInt64
        let request: UInt32
    }

    /// Has the broker change something; when that is done, and only then, it is logged.
    func stage(
        _ change: TopicChange, _ session: Session, _ id: UInt32, _ message: Logger.Message, _ metadata: Logger.Metadata
    ) {
        // Nobody keeps a client from using a number twice.
        changing[Change(session: session.number, request: id), default: []].append((message, metadata))
        broker.stage(change, origin(session, id))
    }

    private func say(_ result: TopicChange.Result, of change: Change) {
        guard var lines = changing.removeValue(forKey: change) else { return }
        let (message, metadata) = lines.removeFirst()
        if !lines.isEmpty { changing[change] = lines }
        if case .success = result { log.info(message, metadata: metadata) }
    }

    func answer(_ answers: [(origin: ProduceOrigin, result: TopicChange.Result)]) {
        for (origin, result) in answers {
            say(result, of: Change(session: origin.session, request: origin.requestID))
            guard let session = sessionsByNumber[origin.session] else { continue }
            switch result {
            case .success(let logStart): answer(session, origin.requestID) { if let logStart { $0.integer(logStart) } }
            case .failure(let error): answer(session, origin.requestID, error)
            }
        }
    }
}
