internal import BrokerCore
internal import RDMATransport
internal import TopicProtocol

// Requests about groups: the broker answers when it is time to.
extension FabricDoor {
    func serve(_ request: GroupRequest, id: UInt32, _ session: Session) {
        guard session.version >= 2 else {
            let text = "the connection speaks version \(session.version), groups need 2: update the client"
            return answer(session, id, BrokerError(.unsupportedVersion, text))
        }
        var request = request
        if let seat = session.seat, case .join(var join) = request {
            join.clientID = seat
            request = .join(join)
        }
        broker.handle(
            request, from: ProduceOrigin(door: number, session: session.number, requestID: id), host: session.peer,
            now: monotonicNanoseconds())
    }

    func answer(_ answers: [GroupAnswer]) {
        for one in answers {
            guard let session = sessionsByNumber[one.origin.session] else { continue }
            answerLong(session, one.origin.requestID, error: one.error, text: one.text) { writer in
                switch one.body {
                // A heartbeat is nothing that this door has taken.
                case .empty, .heartbeat: break
                case .join(let body): body.encode(into: &writer)
                case .sync(let body): body.encode(into: &writer)
                case .errors(let body): body.encode(into: &writer)
                case .offsets(let body): body.encode(into: &writer)
                case .groups(let body): body.encode(into: &writer)
                case .description(let body): body.encode(into: &writer)
                }
            }
        }
    }
}
