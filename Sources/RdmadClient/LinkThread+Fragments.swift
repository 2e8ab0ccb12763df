internal import RDMATransport
internal import TopicProtocol

// Messages longer than a frame.
extension Link {
    /// Posts a request that may be longer than a frame, or its first fragments.
    func postLong(_ request: Request, id: UInt32, on connection: ConnectionID) -> PostResult {
        guard outgoing == nil else { return .full }
        guard let message = Fragments.message({ request.encode(id: id, into: &$0) }) else { return .refused }
        var position = 0
        let result = unsafe fabric!.send(on: connection) { unsafe Fragments.encode(message, from: &position, into: $0) }
        if result == .posted, position < message.count {
            outgoing = (message, position)
            postFragments()
        }
        return result
    }

    /// Goes on with the message that is being sent.
    func postFragments() {
        guard let connection, let fabric, let (message, start) = outgoing else { return }
        var position = start
        while position < message.count {
            let result = unsafe fabric.send(on: connection) {
                unsafe Fragments.encode(message, from: &position, into: $0)
            }
            guard result == .posted else { break }
        }
        outgoing = position < message.count ? (message, position) : nil
    }

    /// Takes a message that came in fragments.
    func take(_ message: [UInt8]) throws(FrameError) {
        let result = unsafe message.withUnsafeBytes { bytes in
            Result { () throws(FrameError) in unsafe take(try Response.parse(bytes)) }
        }
        try result.get()
    }
}

extension Request {
    /// Whether it may be longer than a frame.
    var mayBeLong: Bool { if case .group = self { true } else { false } }
}

extension ClientError {
    static func tooLong(_ what: String) -> ClientError {
        ClientError(
            .limit, "\(what): the request is longer than \(FrameLimits.messageBytesMax) bytes: ask for less at once")
    }
}
