import Glibc
import RDMATransport

/// What has completed so far.
struct BenchProgress {
    /// Requests of ours.
    var sends = 0
    /// Messages of the peer's; whoever deals with them takes them off.
    var receives = 0
    /// How many messages the peer says that it has taken; wraps around.
    var taken: UInt32 = 0
    /// The connection has ended: what is not in the completion queue will not come.
    var isPeerGone = false
    fileprivate var emptyPolls = 0
}

extension BenchEnd {
    /// Takes completions; where there are none, waits in the way that was asked for.
    @inline(never) func reap(_ progress: inout BenchProgress) throws(BenchError) {
        let count = completions.poll()
        if count > 0 { return try take(count, &progress) }
        if parameters.usesEvents { try sleepForOne(&progress) } else { try poll(&progress) }
    }

    @inline(never) private func take(_ count: Int, _ progress: inout BenchProgress) throws(BenchError) {
        for index in 0..<count {
            let completion = completions[index]
            guard completion.isSuccess else { throw Self.failed(completion.status) }
            if completion.workID < Self.receiveID {
                progress.sends &+= Int(truncatingIfNeeded: completion.workID)
            } else {
                progress.receives &+= 1
                if completion.workID == Self.countID, let taken = completion.immediate { progress.taken = taken }
            }
        }
    }

    /// Sleeps until something completes, or the connection ends.
    private func sleepForOne(_ progress: inout BenchProgress) throws(BenchError) {
        completions.arm()
        // What came before the queue was armed makes no event.
        let count = completions.poll()
        if count > 0 { return try take(count, &progress) }
        if progress.isPeerGone { throw Self.peerGone() }
        // One system call and nothing else to watch; the tick interrupts it now and then.
        if !completions.waitForEvent() { lookForPeer(&progress) }
    }

    private func poll(_ progress: inout BenchProgress) throws(BenchError) {
        progress.emptyPolls &+= 1
        if isAlone { sched_yield() }
        // Once in a while: it is a system call.
        if progress.emptyPolls & 0xffff == 0 { lookForPeer(&progress) }
        guard progress.isPeerGone else { return }
        // The end of the connection may overtake what completed before it.
        let count = completions.poll()
        guard count > 0 else { throw Self.peerGone() }
        try take(count, &progress)
    }

    /// Notes when the connection has ended.
    @inline(never) func lookForPeer(_ progress: inout BenchProgress) {
        // No further than that: behind it may be the next client.
        while !progress.isPeerGone, let event = channel.next() {
            progress.isPeerGone = event.kind == .disconnected || event.kind == .deviceRemoval
            event.request?.reject(privateData: BenchSession.busy)
        }
    }

    // Out of line, so that what only a failure needs is not among what every message runs through.
    @inline(never) private static func failed(_ status: WorkCompletion.Status) -> BenchError {
        BenchError("a request of the bench failed: \(status)")
    }
    @inline(never) static func peerGone() -> BenchError {
        BenchError("the other side ended the connection in the middle of the measurement")
    }
    @inline(never) static func refused(_ outcome: PostOutcome) -> BenchError {
        BenchError("a request of the bench was refused: \(outcome)")
    }
}
