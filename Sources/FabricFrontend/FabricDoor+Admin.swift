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
                try broker.alterConfigs(topic, changes)
                let list = changes.map { change in
                    change.value.map { "\(change.name)=\($0)" } ?? "\(change.name) deleted"
                }
                log.info(
                    "topic altered", metadata: ["topic": "\(topic)", "configs": "\(list.joined(separator: " "))"])
                answer(session, id) { _ in }
            case .describeConfigs(let topic):
                let configs = try broker.describeConfigs(topic)
                answer(session, id) { ConfigDescription.encode(configs, into: &$0) }
            case .addPartitions(let topic, let total):
                broker.stageCreation(
                    TopicCreation(name: topic, partitions: Int(total), configs: nil), origin(session, id))
                log.info("adding partitions", metadata: ["topic": "\(topic)", "partitions": "\(total)"])
            case .listOffsets(let partition, let timestamp):
                let listed = try broker.listOffsets(partition, timestamp: timestamp)
                answer(session, id) { listed.encode(into: &$0) }
            case .deleteRecords(let partition, let offset):
                let start = try broker.deleteRecords(partition, before: offset)
                log.info("records deleted", metadata: ["partition": "\(partition)", "before": "\(start)"])
                answer(session, id) { $0.integer(start) }
            }
        } catch {
            answer(session, id, error)
        }
    }

    func answer(_ answers: [(origin: ProduceOrigin, error: BrokerError?)]) {
        for (origin, error) in answers {
            guard let session = sessionsByNumber[origin.session] else { continue }
            if let error {
                answer(session, origin.requestID, error)
            } else {
                answer(session, origin.requestID) { _ in }
            }
        }
    }
}
