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
                broker.stage(.alter(topic, changes), origin(session, id))
                let list = changes.map { change in
                    change.value.map { "\(change.name)=\($0)" } ?? "\(change.name) deleted"
                }
                log.info(
                    "altering a topic", metadata: ["topic": "\(topic)", "configs": "\(list.joined(separator: " "))"])
            case .describeConfigs(let topic):
                let configs = try broker.describeConfigs(topic)
                answer(session, id) { ConfigDescription.encode(configs, into: &$0) }
            case .addPartitions(let topic, let total):
                broker.stage(
                    .create(TopicCreation(name: topic, partitions: Int(total), configs: nil)), origin(session, id))
                log.info("adding partitions", metadata: ["topic": "\(topic)", "partitions": "\(total)"])
            case .listOffsets(let partition, let timestamp, let isolation):
                let listed = try broker.listOffsets(
                    partition, timestamp: timestamp, isReadCommitted: isolation == .readCommitted)
                answer(session, id) { listed.encode(into: &$0) }
            case .deleteRecords(let partition, let offset):
                broker.stage(.deleteRecords(partition, before: offset), origin(session, id))
                log.info("deleting records", metadata: ["partition": "\(partition)", "before": "\(offset)"])
            }
        } catch {
            answer(session, id, error)
        }
    }

    func answer(_ answers: [(origin: ProduceOrigin, result: TopicChange.Result)]) {
        for (origin, result) in answers {
            guard let session = sessionsByNumber[origin.session] else { continue }
            switch result {
            case .success(let logStart): answer(session, origin.requestID) { if let logStart { $0.integer(logStart) } }
            case .failure(let error): answer(session, origin.requestID, error)
            }
        }
    }
}
