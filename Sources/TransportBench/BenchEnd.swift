import CLinux
import Glibc
import RDMATransport

/// One side of one measurement: a connection with memory for one message in each direction, and eight bytes behind
/// them for counts.
///
/// ```
/// | what we send: size | what we receive: size | count of the peer's u64 | our count u64 |
/// ```
struct BenchEnd: ~Copyable {
    let parameters: BenchParameters
    let memory: MemoryBlock
    let region: MemoryRegion
    let completions: CompletionQueue
    let queuePair: QueuePair
    let identifier: ConnectionIdentifier
    /// Filled in when the peer has said where its memory is.
    var peer = RemoteSlice(key: 0, address: 0)

    static func stride(_ size: Int) -> Int { (size + 63) & ~63 }
    var countOffset: Int { 2 * Self.stride(parameters.size) }

    init(_ parameters: BenchParameters, on identifier: ConnectionIdentifier) throws(FabricError) {
        guard let context = identifier.context else {
            throw FabricError(benchState: "the connection has no device")
        }
        let domain = try ProtectionDomain(context: context)
        let memory = try MemoryBlock(byteCount: 2 * Self.stride(parameters.size) + 64)
        let region = try MemoryRegion(
            memory, access: [.localWrite, .remoteWrite, .remoteRead, .remoteAtomic], in: domain)
        let completions = try CompletionQueue(
            context: context, depth: parameters.sendDepth + parameters.receiveDepth + 64)
        var options = QueuePairOptions(
            depths: .init(send: parameters.sendDepth + 16, receive: parameters.receiveDepth))
        options.sendElementsMax = 1
        options.inlineBytesMax = parameters.inlineBytes
        queuePair = try QueuePair(options, on: identifier, in: domain, sends: completions, receives: completions)
        self.region = region
        (self.parameters, self.identifier, self.memory, self.completions) = (
            parameters, identifier, memory, completions
        )
    }

    var outgoing: ScatterGatherElement { region.element(offset: 0, byteCount: parameters.size) }
    var incoming: ScatterGatherElement {
        region.element(offset: Self.stride(parameters.size), byteCount: parameters.size)
    }
    /// Where our messages land in the peer's memory.
    var peerIncoming: RemoteSlice {
        RemoteSlice(key: peer.key, address: peer.address + UInt64(Self.stride(parameters.size)))
    }
    /// Where the peer counts ours.
    var peerCount: RemoteSlice { RemoteSlice(key: peer.key, address: peer.address + UInt64(countOffset)) }

    /// The request that the test repeats.
    var operation: SendOperation {
        switch parameters.test {
        case .sendBandwidth, .sendLatency: .send
        case .writeBandwidth, .writeLatency: .write(peerIncoming)
        case .readBandwidth, .readLatency: .read(peer)
        case .atomicBandwidth, .atomicLatency: .fetchAndAdd(peer, 1)
        }
    }

    /// A chain of `count` of them, with a completion for the last if wanted.
    func chain(_ count: Int, isSignaled: Bool) -> SendChain {
        var chain = SendChain(capacity: count, elementsMax: 1, inlineBytesMax: parameters.inlineBytes)
        let isInline = parameters.size <= parameters.inlineBytes && (parameters.test.isSend || isWrite)
        for _ in 0..<count {
            if isInline {
                let bytes = unsafe RawSpan(_unsafeBytes: memory.bytes[..<parameters.size])
                chain.append(operation, workID: 1, inline: bytes)
            } else {
                unsafe chain.append(operation, workID: 1, outgoing)
            }
        }
        if isSignaled { chain.signalLast() }
        return chain
    }
    private var isWrite: Bool { parameters.test == .writeBandwidth || parameters.test == .writeLatency }

    /// One processor: who spins there takes it from the peer, so polling gives way.
    static let isAlone = sysconf(Int32(_SC_NPROCESSORS_ONLN)) == 1

    /// Sleeps until the queue may have something.
    func wait() {
        var entry = pollfd(fd: completions.descriptor, events: Int16(POLLIN), revents: 0)
        // A second at most: the peer may have gone, which the caller then sees.
        _ = unsafe poll(&entry, 1, 1000)
        completions.takeEvents()
    }

    /// Takes completions; returns how many requests of ours they stand for, and how many receives.
    @inline(never) func reap(_ sends: inout Int, _ receives: inout Int, perSend: Int) throws(BenchError) -> Bool {
        var count = completions.poll()
        if count == 0, parameters.usesEvents {
            completions.arm()
            count = completions.poll()
            if count == 0 {
                wait()
                count = completions.poll()
            }
        } else if count == 0, Self.isAlone {
            sched_yield()
        }
        for index in 0..<count {
            let completion = completions[index]
            guard completion.status == .success else {
                throw BenchError("a request of the bench failed: \(completion.status)")
            }
            if completion.workID == 2 { receives += 1 } else if completion.workID == 1 { sends += perSend }
        }
        return count > 0
    }
}

extension FabricError {
    init(benchState detail: String) {
        self.init(.state, operation: "rdma_cm", detail)
    }
}
