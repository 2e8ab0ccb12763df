internal import RDMATransport
internal import TopicProtocol

/// What lives on one connection: a producer, a consumer or an admin. Called on the link's thread only, which is whoever
/// has the turn (`LinkTurns.swift`).
protocol LinkAgent: AnyObject, Sendable {
    /// The way to its link. Called once, first of all, on the thread that opens it.
    func attach(_ link: LinkHandle)
    /// Memory for the next connection, to be registered and shared with the broker.
    func makeRegions() throws -> [(memory: MemoryBlock, access: PeerAccess)]
    /// The connection stands; `regions` are the ones above, as the broker addresses them.
    func connected(_ link: any LinkPort, _ welcome: Handshake.Welcome, _ regions: [RemoteRegion])
    func received(_ acks: [ProduceAck])
    func ended(_ partition: PartitionAddress, _ error: ErrorCode, offset: Int64)
    func advanced(_ immediate: UInt32)
    /// Posts what waits. Called after every group of events and whenever the link was woken.
    /// - Returns: When to be called again at the latest, in nanoseconds of the monotonic clock.
    func turn(_ link: any LinkPort, now: UInt64) -> UInt64?
    /// Whether a turn would post something: asked before sleeping.
    var hasWork: Bool { get }
    /// Whether somebody waits for what comes of the broker, and does not run the link meanwhile.
    var hasWaiters: Bool { get }
    /// How long the link may be left alone while callers run it, and sleep in their turns, in milliseconds.
    var standbyMillisecondsMax: Int32 { get }
    /// The link was closed: says goodbye to the broker. Called until it returns true, or some seconds long.
    func finish(_ link: any LinkPort, now: UInt64) -> Bool
    /// What is needed of the broker first is there: from then on a lost connection is no failed attempt any more.
    var isReady: Bool { get }
    /// The connection is gone; another will be made.
    func disconnected()
    /// No connection will be made any more.
    func failed(_ error: ClientError)
}

extension LinkAgent {
    func attach(_ link: LinkHandle) {}
    var hasWaiters: Bool { false }
    var isReady: Bool { true }
    var standbyMillisecondsMax: Int32 { 100 }
    func finish(_ link: any LinkPort, now: UInt64) -> Bool { true }
}

/// What an agent can do on its connection.
protocol LinkPort: AnyObject, Sendable {
    var messageBytesMax: Int { get }
    /// Why there is no connection; nil while there is one.
    var trouble: ClientError? { get }
    /// A number for a request that the agent posts itself.
    func nextRequestID() -> UInt32
    /// Posts a frame that gets no answer of its own (produces, credits).
    func post(_ request: Request, id: UInt32) -> PostResult
    /// Asks, and calls `answer` on the link's thread.
    func ask(_ request: Request, _ answer: @escaping (Result<[UInt8], ClientError>) -> Void)
    /// The same, of a request whose answer may take long.
    func ask(
        _ request: Request, timeoutNanoseconds: UInt64, _ answer: @escaping (Result<[UInt8], ClientError>) -> Void)
    /// Gives the connection up, as if it had been lost.
    func drop(_ why: ClientError)
    /// Ends the link for good.
    func fail(_ error: ClientError)
}

/// An answer's fields, from its bytes.
func parseBody<T>(_ bytes: [UInt8], _ body: (inout FrameReader) throws(FrameError) -> T) throws(ClientError) -> T {
    var result: Result<T, FrameError>?
    unsafe bytes.withUnsafeBytes { raw in
        var reader = unsafe FrameReader(raw)
        do throws(FrameError) { result = .success(try body(&reader)) } catch { result = .failure(error) }
    }
    switch result! {
    case .success(let value): return value
    case .failure(let error): throw ClientError(.protocolViolation, "the broker's answer is malformed: \(error)")
    }
}
