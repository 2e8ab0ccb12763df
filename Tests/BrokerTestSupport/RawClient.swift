package import RDMATransport
package import TopicProtocol
package import TransportTestSupport

/// A client that says what it likes: frames by hand over a real fabric.
package final class RawClient<F: Fabric> {
    package let fabric: F
    package let driver: Driver<F>
    package let connection: ConnectionID
    private var lastID: UInt32 = 0
    private var fragments = FragmentAssembler()

    /// Connects and is welcomed.
    package init(_ fabric: F, connect: (F, [UInt8]) throws -> ConnectionID, hello: [UInt8] = Handshake.hello()) throws {
        self.fabric = fabric
        driver = Driver(fabric)
        connection = try connect(fabric, hello)
        _ = try driver.waitEstablished()
    }

    /// Sends bytes as one frame.
    package func send(_ bytes: [UInt8]) throws {
        try driver.post { TransportTestSupport.send(bytes, on: connection, of: $0) }
        fabric.flush()
    }

    /// Sends a request; its id.
    @discardableResult package func send(_ request: Request) throws -> UInt32 {
        lastID += 1
        let id = lastID
        guard let message = Fragments.message({ request.encode(id: id, into: &$0) }) else {
            throw ScenarioFailure("the request is too long")
        }
        var position = 0
        var frame = [UInt8](repeating: 0, count: 8184)
        repeat {
            let count = unsafe frame.withUnsafeMutableBytes {
                unsafe Fragments.encode(message, from: &position, into: $0)
            }
            try send(Array(frame[..<count]))
        } while position < message.count
        return id
    }

    /// The next frame, as it came.
    package func frame() throws -> [UInt8] {
        let (message, bytes) = try driver.waitMessage()
        fabric.release(message)
        return bytes
    }

    /// The next message, put together from its fragments.
    private func message() throws -> [UInt8] {
        while true {
            let bytes = try frame()
            switch try unsafe bytes.withUnsafeBytes({ unsafe try fragments.take($0) }) {
            case .whole: return bytes
            case .more: continue
            case .last(let message): return message
            }
        }
    }

    /// The next answer, with its body's bytes.
    package func wholeAnswer() throws -> RawAnswer {
        try unsafe message().withUnsafeBytes { raw in
            guard case .answer(_, let error, let text, let body) = unsafe try Response.parse(raw) else {
                throw ScenarioFailure("another message came instead of an answer")
            }
            return unsafe RawAnswer(error: error, text: text, body: Array(body))
        }
    }

    /// The next answer's error code and text.
    package func answer() throws -> (error: ErrorCode, text: String) {
        try unsafe message().withUnsafeBytes { raw in
            switch unsafe try Response.parse(raw) {
            case .answer(_, let error, let text, _): return (error, text)
            case .produceAcks(let acks): return (acks[0].error, "ack")
            case .subscriptionEnded(_, let error, _): return (error, "ended")
            }
        }
    }

    package func ask(_ request: Request) throws -> (error: ErrorCode, text: String) {
        try send(request)
        return try answer()
    }

    /// Shares memory for reading.
    package func share(_ content: [UInt8], byteCount: Int) throws -> RemoteRegion {
        let memory = try MemoryBlock(byteCount: byteCount, name: "raw")
        unsafe memory.bytes.copyBytes(from: content)
        return try fabric.share(try fabric.register(memory, access: .read), on: connection)
    }

    package func waitDisconnect() throws { _ = try driver.waitDisconnect() }
}

/// An answer to one request.
package struct RawAnswer {
    package let error: ErrorCode
    package let text: String
    package let body: [UInt8]

    /// The body's fields.
    package func parse<T>(_ read: (inout FrameReader) throws(FrameError) -> T) throws -> T {
        try unsafe body.withUnsafeBytes { raw in
            var reader = unsafe FrameReader(raw)
            let value = try read(&reader)
            try reader.end()
            return value
        }
    }
}
