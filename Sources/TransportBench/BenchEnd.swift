import CLinux
import Glibc
import RDMATransport

/// One side of one measurement: a connection, with memory for one message in each direction.
///
/// ```
/// | what we send: size, then up to a cache line | what we receive: the same |
/// ```
struct BenchEnd: ~Copyable {
    let parameters: BenchParameters
    let memory: MemoryBlock
    let region: MemoryRegion
    let completions: CompletionQueue
    let queuePair: QueuePair
    let identifier: ConnectionIdentifier
    /// Says when the peer has gone.
    let channel: EventChannel
    /// One processor: who spins there takes it from the peer, so polling gives way.
    let isAlone = sysconf(Int32(_SC_NPROCESSORS_ONLN)) == 1
    /// Filled in when the peer has said where its memory is.
    var peer = RemoteSlice(key: 0, address: 0)

    /// The work id of receives. That of any other request is the number of requests that its completion stands for.
    static let receiveID: UInt64 = 1 << 32
    /// That of receives that take the peer's counts.
    static let countID: UInt64 = 1 << 33
    /// Receives for the peer's counts, which never has more under way.
    static let countReceives = 16

    static func stride(_ size: Int) -> Int { (size + 63) & ~63 }

    init(
        _ parameters: BenchParameters, on identifier: ConnectionIdentifier, _ channel: EventChannel
    ) throws(FabricError) {
        guard let context = identifier.context else {
            throw FabricError(benchState: "the connection has no device")
        }
        let domain = try ProtectionDomain(context: context)
        let memory = try MemoryBlock(byteCount: 2 * Self.stride(parameters.size))
        let region = try MemoryRegion(
            memory, access: [.localWrite, .remoteWrite, .remoteRead, .remoteAtomic], in: domain)
        let receives = max(parameters.receiveDepth, Self.countReceives)
        let completions = try CompletionQueue(context: context, depth: parameters.sendDepth + receives + 64)
        var options = QueuePairOptions(
            depths: .init(send: parameters.sendDepth + Self.countReceives, receive: receives))
        options.sendElementsMax = 1
        options.inlineBytesMax = parameters.inlineBytes
        queuePair = try QueuePair(options, on: identifier, in: domain, sends: completions, receives: completions)
        self.region = region
        (self.parameters, self.identifier, self.channel) = (parameters, identifier, channel)
        (self.memory, self.completions) = (memory, completions)
    }

    var outgoing: ScatterGatherElement { region.element(offset: 0, byteCount: parameters.size) }
    var incoming: ScatterGatherElement {
        region.element(offset: Self.stride(parameters.size), byteCount: parameters.size)
    }
    /// Where our messages land in the peer's memory.
    var peerIncoming: RemoteSlice {
        RemoteSlice(key: peer.key, address: peer.address + UInt64(Self.stride(parameters.size)))
    }

    /// The request that the test repeats.
    var operation: SendOperation {
        switch parameters.test {
        case .sendBandwidth, .sendLatency: .send
        case .writeBandwidth, .writeLatency: .write(peerIncoming)
        case .readBandwidth, .readLatency: .read(peer)
        case .atomicBandwidth, .atomicLatency: .fetchAndAdd(peer, 1)
        }
    }

    /// A chain of `count` of them. With `standsFor` the last makes a completion, for so many requests.
    func chain(_ count: Int, standsFor: Int? = nil) -> SendChain {
        var chain = SendChain(capacity: count, elementsMax: 1, inlineBytesMax: parameters.inlineBytes)
        for number in 1...count {
            let workID = number == count ? UInt64(standsFor ?? 0) : 0
            append(to: &chain, workID: workID, flags: workID == 0 ? [] : .signaled)
        }
        return chain
    }

    /// Adds the test's request.
    func append(to chain: inout SendChain, workID: UInt64, flags: SendFlags) {
        if parameters.travelsInline {
            let bytes = unsafe RawSpan(_unsafeBytes: memory.bytes[..<parameters.size])
            chain.append(operation, workID: workID, flags: flags, inline: bytes)
        } else {
            unsafe chain.append(operation, workID: workID, flags: flags, outgoing)
        }
    }

    /// Posts what the peer may fill before it knows that we are there.
    func postReceives(asServer: Bool) throws(BenchError) {
        guard parameters.test.isSend else { return }
        // A client that measures bandwidth gets nothing but counts.
        let isCounted = !asServer && !parameters.test.isLatency
        var chain = ReceiveChain(capacity: isCounted ? Self.countReceives : parameters.receiveDepth)
        while !chain.isFull {
            unsafe chain.append(workID: isCounted ? Self.countID : Self.receiveID, isCounted ? nil : incoming)
        }
        guard chain.post(to: queuePair) == .posted else { throw BenchError("receives were refused") }
    }
}

extension FabricError {
    init(benchState detail: String) {
        self.init(.state, operation: "rdma_cm", detail)
    }
}
