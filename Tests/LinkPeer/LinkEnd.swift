import Glibc
import RDMATransport
import TransportTestSupport

/// One end of an exchange in which both ends do the same: numbered messages, READs of the peer's memory, and WRITEs
/// with an immediate number into it. Each must arrive once, in order, with its bytes.
///
/// A message is `kind u8 | number u32 | content`. A slot of the peer's memory is written again once the peer has said
/// that it looked at what was there.
final class LinkEnd {
    enum Kind: UInt8 {
        /// First: where the READs and the WRITEs go.
        case memory = 1
        case numbered, slotRead, done
    }
    static let slots = 4
    static let readsAtOnce = 8

    let fabric: VerbsFabric
    let id: ConnectionID
    let options: LinkOptions
    let peerTimeoutMilliseconds: Int
    /// Pattern that the peer READs and that our WRITEs come from; where ours land; where the peer's WRITEs land.
    private let source: MemoryBlock
    private let sink: MemoryBlock
    private let target: MemoryBlock
    private let regions: (source: RegionID, sink: RegionID, target: RegionID)
    private var peerSource: RemoteRegion?
    private var peerTarget: RemoteRegion?

    private var sent = 0, received = 0
    private var readsPosted = 0, readsDone = 0
    private var writesPosted = 0, writesDone = 0, writesSeenByPeer = 0, immediates = 0
    private var slotsToReport: [Int] = []
    private var saidMemory = false, netemIsOn = false, saidDone = false, peerIsDone = false
    /// How transfers ended that did not succeed.
    private var failures: Set<String> = []
    private var heard = monotonicNanoseconds()
    private var cutAfter, dieAfter, announceAfter: Int?
    private(set) var end: DisconnectReason?

    init(_ fabric: VerbsFabric, _ id: ConnectionID, _ options: LinkOptions, peerTimeoutMilliseconds: Int) throws {
        self.fabric = fabric
        self.id = id
        self.options = options
        self.peerTimeoutMilliseconds = peerTimeoutMilliseconds
        (cutAfter, dieAfter, announceAfter) = (options.cutAfter, options.dieAfter, options.announceAfter)
        source = try MemoryBlock(byteCount: Content.patternBytes, name: "source")
        sink = try MemoryBlock(byteCount: Self.readsAtOnce * Content.transferBytesMax, name: "sink")
        target = try MemoryBlock(byteCount: Self.slots * Content.transferBytesMax, name: "target")
        regions = (
            try fabric.register(source, access: .read), try fabric.register(sink, access: .none),
            try fabric.register(target, access: .write)
        )
        unsafe source.bytes.copyBytes(from: Content.all)
    }

    private var sends: Int { options.isIdle ? 0 : options.sends }
    private var reads: Int { options.isIdle ? 0 : options.reads }
    private var writes: Int { options.isIdle ? 0 : options.writes }
    private var isFinished: Bool {
        sent == sends && readsDone == reads && writesDone == writes && writesSeenByPeer == writes
            && received == sends && immediates == writes && slotsToReport.isEmpty
    }

    /// Until both ends have everything, or the connection ends.
    /// - Parameter first: What came together with the connection.
    func run(first: [FabricEvent]) throws {
        let begin = monotonicNanoseconds()
        for event in first { try handle(event) }
        var events: [FabricEvent] = []
        while end == nil {
            if !options.isIdle { try postWhatFits() }
            try actOnProgress()
            if saidDone, peerIsDone, options.role == "client" { fabric.disconnect(id) }
            fabric.flush()
            if fabric.poll(into: &events) == 0 { try sleep() }
            for event in events { try handle(event) }
            events.removeAll(keepingCapacity: true)
        }
        let milliseconds = (monotonicNanoseconds() - begin) / 1_000_000
        say(
            "\(options.role): \(sent) sent, \(received) received, \(readsDone) read, \(writesDone) written, "
                + "\(immediates) immediates, \(milliseconds) ms, end \(end!)")
        try judgeEnd()
    }

    private func judgeEnd() throws {
        if let expected = options.expectedEnd {
            let silence = Int((monotonicNanoseconds() - heard) / 1_000_000)
            say("\(options.role): end after \(silence) ms of silence, transfers ended \(failures.sorted())")
            try expect(
                expected.split(separator: "|").contains("\(end!)"), "the connection ended \(end!), expected \(expected)"
            )
            try expect(silence <= peerTimeoutMilliseconds, "\(silence) ms is more than \(peerTimeoutMilliseconds) ms")
            try expect(
                readsPosted == readsDone && writesPosted == writesDone, "a transfer did not complete before the end")
        } else {
            try expect(saidDone && peerIsDone, "the connection ended early: \(end!)")
            try expect(end == .closed && failures.isEmpty, "end \(end!), transfers ended \(failures.sorted())")
        }
    }

    private func sleep() throws {
        try expect(
            monotonicNanoseconds() - heard < 30_000_000_000,
            "nothing for 30 s: \(sent) sent, \(received) received, \(readsDone) read, \(writesDone) written")
        guard fabric.prepareToSleep() else { return }
        var entry = pollfd(fd: fabric.pollDescriptor, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&entry, 1, 1000)
    }

    // MARK: Posting

    private func post(_ kind: Kind, _ number: Int, _ content: Int = 0) -> Bool {
        unsafe fabric.send(on: id) { buffer in
            unsafe buffer.copyBytes(from: [kind.rawValue] + littleEndian(UInt32(number)))
            unsafe Content.fill(UnsafeMutableRawBufferPointer(rebasing: buffer[5..<5 + content]), number: number)
            return 5 + content
        } == .posted
    }

    private func postWhatFits() throws {
        if !saidMemory {
            let both =
                encode(try fabric.share(regions.source, on: id)) + encode(try fabric.share(regions.target, on: id))
            saidMemory = send([Kind.memory.rawValue] + both, on: id, of: fabric) == .posted
        }
        guard saidMemory, let peerSource, let peerTarget else { return }
        if let netem = options.netem, !netemIsOn {
            try runCommand("tc qdisc add dev vec0 root netem \(netem)")
            netemIsOn = true
        }
        while let slot = slotsToReport.first, post(.slotRead, slot) { slotsToReport.removeFirst() }
        let longest = fabric.limits.messageBytesMax - 5
        // A few of each kind in turn, so that they mix.
        for _ in 0..<8 where sent < sends {
            if post(.numbered, sent, Content.messageBytes(sent, longest: longest)) { sent += 1 }
        }
        if readsPosted < reads, readsPosted - readsDone < Self.readsAtOnce {
            let count = Content.transferBytes(readsPosted)
            let place = RemoteSlice(
                key: peerSource.key, address: peerSource.address + UInt64(Content.start(readsPosted)))
            let local = LocalSlice(region: regions.sink, offset: sinkOffset(readsPosted), count: count)
            if fabric.read(on: id, from: place, into: local, token: UInt64(readsPosted)) == .posted { readsPosted += 1 }
        }
        if writesPosted < writes, writesPosted - writesSeenByPeer < Self.slots {
            let count = Content.transferBytes(writesPosted)
            let slot = UInt64(writesPosted % Self.slots * Content.transferBytesMax)
            let local = LocalSlice(region: regions.source, offset: Content.start(writesPosted), count: count)
            let result = fabric.write(
                on: id, local, nil, to: RemoteSlice(key: peerTarget.key, address: peerTarget.address + slot),
                immediate: UInt32(writesPosted), token: 1 << 32 | UInt64(writesPosted))
            if result == .posted { writesPosted += 1 }
        }
    }

    private func sinkOffset(_ number: Int) -> Int { number % Self.readsAtOnce * Content.transferBytesMax }

    /// What the options want done once so much has arrived, and the end.
    private func actOnProgress() throws {
        func isDue(_ after: inout Int?) -> Bool {
            guard let count = after, received >= count else { return false }
            after = nil
            return true
        }
        if isDue(&announceAfter) {
            heard = monotonicNanoseconds()
            say("flowing")
        }
        if isDue(&dieAfter) { kill(getpid(), SIGKILL) }
        if isDue(&cutAfter) { try runCommand(options.cutCommand) }
        guard !options.isIdle, options.expectedEnd == nil, isFinished, !saidDone,
            options.role == "client" || peerIsDone
        else { return }
        // The goodbye itself need not suffer.
        if netemIsOn {
            try runCommand("tc qdisc del dev vec0 root")
            netemIsOn = false
        }
        saidDone = post(.done, 0)
    }

    // MARK: Events

    private func handle(_ event: FabricEvent) throws {
        switch event {
        case .received(let message):
            heard = monotonicNanoseconds()
            let bytes = unsafe UnsafeRawBufferPointer(fabric.bytes(of: message))
            unsafe try took(bytes)
            fabric.release(message)
        case .immediate(_, let number):
            heard = monotonicNanoseconds()
            try expect(Int(number) == immediates, "immediate \(number) came, expected \(immediates)")
            let start = immediates % Self.slots * Content.transferBytesMax
            let bytes = unsafe UnsafeRawBufferPointer(target.bytes)[start..<start + Content.transferBytes(immediates)]
            let isEqual = unsafe Content.equals(.init(rebasing: bytes), number: immediates)
            try expect(isEqual, "WRITE \(number) has other bytes")
            slotsToReport.append(immediates)
            immediates += 1
        case .completed(_, let token, let status): try completed(token, status)
        case .disconnected(_, let reason): end = reason
        default: break
        }
    }

    private func took(_ bytes: UnsafeRawBufferPointer) throws {
        guard bytes.count >= 5, let kind = Kind(rawValue: unsafe bytes[0]) else {
            throw ScenarioFailure("garbage came")
        }
        let number = unsafe Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 1, as: UInt32.self)))
        try expect(!peerIsDone, "a message came after the last")
        switch kind {
        case .memory:
            let both = unsafe Array(bytes.dropFirst())
            (peerSource, peerTarget) = (decodeRegion(both), decodeRegion(Array(both[20...])))
        case .numbered:
            try expect(number == received, "message \(number) came, expected \(received)")
            let longest = fabric.limits.messageBytesMax - 5
            let isEqual = unsafe Content.equals(.init(rebasing: bytes[5...]), number: number)
            try expect(
                isEqual && bytes.count == 5 + Content.messageBytes(number, longest: longest),
                "message \(number) has other bytes, or \(bytes.count) of them")
            received += 1
        case .slotRead:
            try expect(number == writesSeenByPeer, "the peer saw WRITE \(number), expected \(writesSeenByPeer)")
            writesSeenByPeer += 1
        case .done: peerIsDone = true
        }
    }

    private func completed(_ token: UInt64, _ status: TransferStatus) throws {
        let number = Int(token & 0xffff_ffff)
        let isWrite = token >> 32 == 1
        let expected = isWrite ? writesDone : readsDone
        try expect(number == expected, "\(isWrite ? "WRITE" : "READ") \(number) completed, expected \(expected)")
        if isWrite { writesDone += 1 } else { readsDone += 1 }
        guard status == .success else {
            failures.insert("\(status)")
            return
        }
        heard = monotonicNanoseconds()
        guard !isWrite else { return }
        let start = sinkOffset(number)
        let bytes = unsafe UnsafeRawBufferPointer(sink.bytes)[start..<start + Content.transferBytes(number)]
        let isEqual = unsafe Content.equals(.init(rebasing: bytes), number: number)
        try expect(isEqual, "READ \(number) has other bytes")
    }
}
