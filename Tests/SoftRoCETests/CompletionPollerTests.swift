import Glibc
import Synchronization
import Testing
import TransportTestSupport

@testable import RDMATransport

/// The polling thread and its async face, over Soft-RoCE.
@Suite(.serialized) struct CompletionPollerTests {
    private final class Seen: Sendable {
        let completions = Mutex<[WorkCompletion]>([])
        func wait(_ count: Int) throws {
            let deadline = monotonicNanoseconds() + 20_000_000_000
            while completions.withLock({ $0.count }) < count {
                sched_yield()
                try expect(monotonicNanoseconds() < deadline, "no \(count) completions within 20 s")
            }
        }
    }

    @Test func completionsReachTheHandler() throws {
        let pair = try BufferedPair()
        let seen = Seen()
        nonisolated(unsafe) let queue = pair.queue
        let poller = unsafe try CompletionPoller(queue) { completion in
            seen.completions.withLock { $0.append(completion) }
        }
        for round in 0..<3 {
            expectPosted(pair.second.postReceive(pair.pool.take()!))
            var buffer = pair.pool.take()!
            buffer.byteCount = 10 + round
            expectPosted(pair.first.post(.send, buffer))
            try seen.wait(2)
            let taken = seen.completions.withLock { list in
                defer { list = [] }
                return list
            }
            for completion in taken {
                #expect(completion.status == .success)
                let buffer = pair.pool.reclaim(completion)
                if completion.operation == .receive { #expect(buffer.byteCount == 10 + round) }
            }
        }
        poller.stop()
        try pair.close()
    }

    /// It sleeps when nothing comes, and wakes for the next completion.
    @Test func itSleepsAndWakes() throws {
        let pair = try BufferedPair()
        let seen = Seen()
        nonisolated(unsafe) let queue = pair.queue
        let poller = unsafe try CompletionPoller(queue, spin: .zero) { completion in
            seen.completions.withLock { $0.append(completion) }
        }
        let deadline = monotonicNanoseconds() + 20_000_000_000
        while poller.sleepCount == 0, monotonicNanoseconds() < deadline { sched_yield() }
        #expect(poller.sleepCount > 0)
        expectPosted(pair.second.postReceive(pair.pool.take()!))
        expectPosted(pair.first.post(.send, pair.pool.take()!))
        try seen.wait(2)
        poller.stop()
        for completion in seen.completions.withLock({ $0 }) { drop(pair.pool.reclaim(completion)) }
        try pair.close()
    }

    @Test func stoppingTwiceIsHarmless() throws {
        let context = try DeviceContext(name: "rxe0")
        let poller = try CompletionPoller(try CompletionQueue(context: context, depth: 8)) { _ in }
        poller.stop()
        poller.stop()
    }

    @Test func asyncTasksWaitForTheirOwn() async throws {
        let context = try DeviceContext(name: "rxe0")
        let domain = try ProtectionDomain(context: context)
        let queue = try CompletionQueue(context: context, depth: 64)
        let memory = try MemoryBlock(byteCount: 4096)
        let region = try MemoryRegion(memory, access: [.localWrite, .remoteWrite], in: domain)
        let options = QueuePairOptions(depths: .init(send: 16, receive: 1))
        let one = try QueuePair(options, in: domain, sends: queue, receives: queue)
        let two = try QueuePair(options, in: domain, sends: queue, receives: queue)
        let address = try context.selectGID()
        for (this, peer) in [(0, two.number), (1, one.number)] {
            let path = QueuePairPath(peerQueuePair: peer, peerAddress: address, localGIDIndex: address.index)
            if this == 0 {
                try one.initialize()
                try one.connect(to: path)
                try one.readyToSend()
            } else {
                try two.initialize(access: .remoteWrite)
                try two.connect(to: path)
                try two.readyToSend()
            }
        }
        nonisolated(unsafe) let polled = queue
        let completions = unsafe try AsyncCompletions(polled)
        var chain = SendChain(capacity: 8)
        for number in 0..<8 {
            unsafe chain.append(
                .write(region.remote(offset: 2048 + number * 8)), workID: UInt64(100 + number), flags: .signaled,
                region.element(offset: number * 8, byteCount: 8))
        }
        unsafe memory.bytes.copyBytes(from: pattern(64, seed: 1))
        #expect(chain.post(to: one) == .posted)
        // In another order than they complete in.
        for number in (0..<8).reversed() {
            let completion = await completions.completion(of: UInt64(100 + number))
            #expect(completion.status == .success)
            #expect(completion.operation == .write)
        }
        #expect(unsafe Array(memory.bytes[2048..<2112]) == pattern(64, seed: 1))
        completions.stop()
    }
}
