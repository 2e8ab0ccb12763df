import Glibc
package import RDMATransport

/// One end of a queue pair with its memory, told what to do by ``VerbsEndCommand``s: the same code on both sides of a
/// two-process test.
package final class VerbsEnd {
    package let context: DeviceContext
    package let domain: ProtectionDomain
    package let completions: CompletionQueue
    let shared: SharedReceiveQueue?
    let options: VerbsEndOptions
    /// Peers may do everything with it.
    package let memory: MemoryBlock
    /// At most one. In front of the region that it is bound to: properties end in their order.
    private var windows: [VerbsWindow] = []
    package let region: MemoryRegion
    /// Peers may do nothing with it.
    let closed: MemoryRegion
    package let queuePair: QueuePair
    private var handles: [AddressHandle] = []
    private var taken: [VerbsEndReply] = []

    package static let memoryBytes = 1 << 20

    /// - Parameter identifier: Makes the queue pair on a connection instead of by hand.
    package init(_ options: VerbsEndOptions, on identifier: ConnectionIdentifier? = nil) throws {
        self.options = options
        let context = try identifier?.context ?? DeviceContext(name: options.device)
        let domain = try ProtectionDomain(context: context)
        let depth = options.completionDepth
        let completions =
            if let fields = options.completionFields {
                try CompletionQueue(context: context, depth: depth, fields: CompletionFields(rawValue: fields))
            } else {
                try CompletionQueue(context: context, depth: depth)
            }
        let shared =
            options.sharedDepth > 0
            ? try SharedReceiveQueue(depth: options.sharedDepth, elementsMax: options.receiveElementsMax, in: domain)
            : nil
        let kinds: [QueuePairKind] = [
            .reliableConnection, .unreliableConnection, .unreliableDatagram, .extendedReliableSend,
        ]
        var wanted = QueuePairOptions(
            kinds.first { $0.rawValue == options.kind }!,
            depths: .init(send: options.sendDepth, receive: options.sharedDepth > 0 ? 0 : options.receiveDepth))
        wanted.sendElementsMax = options.sendElementsMax
        wanted.receiveElementsMax = options.receiveElementsMax
        wanted.inlineBytesMax = options.inlineBytesMax
        wanted.signalsAll = options.signalsAll
        wanted.extendedOperations = ExtendedOperations(rawValue: options.extendedOperations)
        let memory = try MemoryBlock(byteCount: Self.memoryBytes)
        region = try MemoryRegion(
            memory, access: [.localWrite, .remoteRead, .remoteWrite, .remoteAtomic, .windowBind], in: domain)
        closed = try MemoryRegion(try MemoryBlock(byteCount: 4096), access: .localWrite, in: domain)
        if let identifier {
            queuePair = try QueuePair(
                wanted, on: identifier, in: domain, sends: completions, receives: completions, shared: shared)
        } else {
            queuePair = try QueuePair(wanted, in: domain, sends: completions, receives: completions, shared: shared)
        }
        (self.context, self.domain, self.completions, self.shared) = (context, domain, completions, shared)
        self.memory = memory
    }

    /// What the other side must know.
    package func describe() throws -> VerbsEndReply {
        var reply = VerbsEndReply()
        reply.queuePair = queuePair.number
        reply.address = try context.selectGID().bytes
        (reply.remoteKey, reply.remoteAddress) = (region.remoteKey, region.address)
        (reply.closedKey, reply.closedAddress) = (closed.remoteKey, closed.address)
        reply.inlineBytesMax = queuePair.options.inlineBytesMax
        return reply
    }

    func connect(_ path: VerbsEndPath) throws {
        if options.kind == 4 {
            try queuePair.initialize(queueKey: options.queueKey)
            try queuePair.readyToReceive()
            return try queuePair.readyToSend()
        }
        try queuePair.initialize(access: MemoryAccess(rawValue: path.access))
        var way = QueuePairPath(
            peerQueuePair: path.queuePair, peerAddress: GID(bytes: path.address),
            localGIDIndex: try context.selectGID().index)
        way.readsServedMax = path.readsMax
        way.mtuBytes = path.mtuBytes
        way.receiverNotReadyTimerCode = path.receiverNotReadyTimerCode
        try queuePair.connect(to: way)
        var sending = QueuePairSending()
        sending.acknowledgementTimeoutCode = path.timeoutCode
        sending.retryCount = path.retryCount
        sending.receiverNotReadyRetryCount = path.receiverNotReadyRetryCount
        sending.readsInFlightMax = path.readsMax
        try queuePair.readyToSend(sending)
    }

    func makeWindow(_ kind: MemoryWindow.Kind) throws -> UInt32 {
        windows = [try VerbsWindow(kind, domain)]
        return windows[0].window.remoteKey
    }

    /// Posts the binding of a type 1 window, as work 77; its key.
    func bindWindow(_ offset: Int, _ count: Int, _ access: MemoryAccess) throws -> UInt32 {
        try windows[0].window.bind(
            to: region, offset: offset, byteCount: count, access: access, on: queuePair, workID: 77)
        return windows[0].window.remoteKey
    }

    func receive(_ workID: UInt64, _ runs: [VerbsRun]) -> PostOutcome {
        var chain = ReceiveChain(capacity: 1, elementsMax: options.receiveElementsMax)
        let elements = runs.map { region.element(offset: $0.offset, byteCount: $0.count) }
        unsafe chain.append(workID: workID, elements: elements.span)
        return if let shared { chain.post(to: shared) } else { chain.post(to: queuePair) }
    }

    func post(_ posts: [VerbsPost]) throws -> PostOutcome {
        if options.extendedOperations != 0 { return try write(posts) }
        var chain = SendChain(
            capacity: posts.count, elementsMax: max(1, options.sendElementsMax), inlineBytesMax: options.inlineBytesMax)
        for post in posts {
            let operation = try operation(post)
            let flags = SendFlags(rawValue: post.flags)
            if post.isInline {
                let run = post.runs[0]
                let bytes = unsafe Array(memory.bytes[run.offset..<run.offset + run.count])
                unsafe chain.append(operation, workID: post.workID, flags: flags, inline: bytes.span.bytes)
            } else {
                let elements = post.runs.map { region.element(offset: $0.offset, byteCount: $0.count) }
                unsafe chain.append(operation, workID: post.workID, flags: flags, elements: elements.span)
            }
        }
        return chain.post(to: queuePair)
    }

    private func operation(_ post: VerbsPost) throws -> SendOperation {
        let remote = RemoteSlice(key: post.remoteKey, address: post.remoteAddress)
        switch post.operation {
        case .send: return .send
        case .sendImmediate: return .sendWithImmediate(post.immediate)
        case .sendInvalidate: return .sendWithInvalidate(remoteKey: post.remoteKey)
        case .sendTo: return .sendTo(try destination(post))
        case .sendToImmediate: return .sendToWithImmediate(try destination(post), post.immediate)
        case .write: return .write(remote)
        case .writeImmediate: return .writeWithImmediate(remote, post.immediate)
        case .read: return .read(remote)
        case .compareAndSwap: return .compareAndSwap(remote, compare: post.first, swap: post.second)
        case .fetchAndAdd: return .fetchAndAdd(remote, post.first)
        case .localInvalidate: return .localInvalidate(remoteKey: post.remoteKey)
        case .bindWindow:
            // The range is at `second`, `immediate` bytes long, the rights are `first`, the key is `remoteKey`.
            let run = VerbsRun(Int(post.second), Int(post.immediate))
            return .bindWindow(
                windows[0].window.binding(
                    to: region, offset: run.offset, byteCount: run.count,
                    access: MemoryAccess(rawValue: Int32(post.first)), remoteKey: post.remoteKey))
        case .atomicWrite: throw ScenarioFailure("atomic writes need extended operations")
        }
    }

    private func destination(_ post: VerbsPost) throws -> DatagramDestination {
        let handle = try AddressHandle(
            to: GID(bytes: post.address), localGIDIndex: try context.selectGID().index, in: domain)
        handles.append(handle)
        return handle.destination(queuePair: post.queuePair, queueKey: post.queueKey)
    }

    /// The same through the extended calls.
    private func write(_ posts: [VerbsPost]) throws -> PostOutcome {
        let destinations = try posts.map { $0.address.isEmpty ? nil : try destination($0) }
        return queuePair.write { writer in
            for (post, destination) in zip(posts, destinations) {
                let remote = RemoteSlice(key: post.remoteKey, address: post.remoteAddress)
                let flags = SendFlags(rawValue: post.flags).union(post.isInline ? .inline : [])
                let id = post.workID
                switch post.operation {
                case .send, .sendTo: writer.send(workID: id, flags: flags)
                case .sendImmediate, .sendToImmediate:
                    writer.send(immediate: post.immediate, workID: id, flags: flags)
                case .sendInvalidate: writer.send(invalidating: post.remoteKey, workID: id, flags: flags)
                case .write: writer.write(to: remote, workID: id, flags: flags)
                case .writeImmediate: writer.write(to: remote, immediate: post.immediate, workID: id, flags: flags)
                case .read: writer.read(from: remote, workID: id, flags: flags)
                case .compareAndSwap:
                    writer.compareAndSwap(remote, compare: post.first, swap: post.second, workID: id, flags: flags)
                case .fetchAndAdd: writer.fetchAndAdd(remote, post.first, workID: id, flags: flags)
                case .atomicWrite: writer.atomicWrite(remote, post.first, workID: id, flags: flags)
                case .localInvalidate, .bindWindow:
                    writer.invalidate(remoteKey: post.remoteKey, workID: id, flags: flags)
                }
                if let destination { writer.setDestination(destination) }
                if post.isInline {
                    let bytes = unsafe Array(
                        memory.bytes[post.runs[0].offset..<post.runs[0].offset + post.runs[0].count])
                    unsafe writer.set(inline: bytes.span.bytes)
                } else if post.runs.count == 1 {
                    unsafe writer.set(region.element(offset: post.runs[0].offset, byteCount: post.runs[0].count))
                } else if !post.runs.isEmpty {
                    let elements = post.runs.map { region.element(offset: $0.offset, byteCount: $0.count) }
                    unsafe writer.set(elements: elements.span)
                }
            }
        }
    }

    /// The next completion, waiting for it if told to; nil when there is none.
    func completion(waiting: Bool) throws -> VerbsEndReply? {
        let deadline = monotonicNanoseconds() + 20_000_000_000
        while taken.isEmpty {
            if options.completionFields != nil {
                _ = completions.pollEach { cursor in taken.append(Self.reply(cursor)) }
            } else {
                for index in 0..<completions.poll() { taken.append(Self.reply(completions[index])) }
            }
            guard taken.isEmpty else { break }
            guard waiting else { return nil }
            try expect(monotonicNanoseconds() < deadline, "no completion within 20 s")
            sched_yield()
        }
        return taken.removeFirst()
    }

    private static func reply(_ completion: WorkCompletion) -> VerbsEndReply {
        var reply = VerbsEndReply()
        reply.isFound = true
        reply.workID = completion.workID
        reply.status = completion.status.rawValue
        reply.queuePair = completion.queuePair
        guard completion.status == .success else { return reply }
        reply.operation = completion.operation.rawValue
        reply.byteCount = completion.byteCount
        reply.immediate = completion.immediate
        reply.invalidatedKey = completion.invalidatedKey
        reply.sourceQueuePair = completion.sourceQueuePair
        reply.hasHeader = completion.hasDatagramHeader
        return reply
    }

    private static func reply(_ cursor: borrowing CompletionCursor) -> VerbsEndReply {
        var reply = VerbsEndReply()
        reply.isFound = true
        reply.workID = cursor.workID
        reply.status = cursor.status.rawValue
        guard cursor.status == .success else { return reply }
        reply.operation = cursor.operation.rawValue
        reply.byteCount = cursor.byteCount
        reply.immediate = cursor.immediate
        reply.queuePair = cursor.queuePair
        return reply
    }
}

/// A class holds the window because properties of classes cannot lend optional noncopyable values.
private final class VerbsWindow {
    let window: MemoryWindow
    init(_ kind: MemoryWindow.Kind, _ domain: ProtectionDomain) throws(FabricError) {
        window = try MemoryWindow(kind, in: domain)
    }
}
