internal import BrokerCore
internal import RDMATransport
internal import TopicProtocol

// Requests that come in pieces.
extension FabricDoor {
    /// Takes a piece of a request, and serves it when it is whole.
    func takeFragment(_ frame: UnsafeMutableRawBufferPointer, _ session: Session) throws(FrameError) {
        let before = session.fragments.byteCount
        let part = unsafe try session.fragments.take(UnsafeRawBufferPointer(frame))
        fragmentBytes += session.fragments.byteCount - before
        if before == 0 {
            session.fragmentsDue = now + limits.fragmentTimeoutMilliseconds * 1_000_000
            fragmentsDue = min(fragmentsDue, session.fragmentsDue)
        }
        // Who stops in the middle does not keep the others out.
        while fragmentBytes > limits.fragmentBytesMax,
            let oldest = order.lazy.filter({ $0.fragments.byteCount > 0 }).min(by: { $0.fragmentsDue < $1.fragmentsDue }
            )
        {
            let text = "the fragments of all connections have more than \(limits.fragmentBytesMax) bytes"
            giveUpFragments(oldest, BrokerError(.limitReached, text))
        }
        guard case .last(var message) = part else { return }
        let parsed = unsafe message.withUnsafeMutableBytes { bytes in
            Result { () throws(FrameError) in unsafe try Request.parse(bytes) }
        }
        let (id, request) = try parsed.get()
        try serve(request, id: id, session)
    }

    /// Cuts off those whose request did not become whole in time.
    func giveUpLateFragments() {
        fragmentsDue = .max
        for session in order where session.fragments.byteCount > 0 {
            guard session.fragmentsDue <= now else {
                fragmentsDue = min(fragmentsDue, session.fragmentsDue)
                continue
            }
            let time = "\(limits.fragmentTimeoutMilliseconds) ms (--fragment-timeout-ms)"
            giveUpFragments(
                session,
                BrokerError(
                    .requestTimedOut, "\(session.fragments.byteCount) bytes of a request came in \(time), not its end"))
        }
    }

    private func giveUpFragments(_ session: Session, _ error: BrokerError) {
        answer(session, session.fragments.requestID, error)
        end(session.connection, error.description)
        fragmentBytes -= session.fragments.byteCount
        session.fragments = FragmentAssembler()
    }
}
