import Dispatch
import Glibc
import Synchronization
import Testing

@testable import RDMATransport
@testable import RdmadClient
@testable import TopicProtocol

/// A link's own life: connecting again, giving up, ending.
@Suite(.timeLimit(.minutes(1))) struct LinkTests {
    @Test func anySecondsMakeAPatience() {
        #expect(LinkPatience.nanoseconds(1.5) == 1_500_000_000)
        for odd in [-1, -Double.infinity, .nan] { #expect(LinkPatience.nanoseconds(odd) == 0) }
        #expect(LinkPatience.nanoseconds(.infinity) == 1_000_000_000_000_000_000)
    }

    @Test func tryingToReconnectHasAPatienceOfItsOwn() async throws {
        let broker = try InProcessBroker()
        let link = Links.open(
            broker.address, agent: AdminAgent(), patience: LinkPatience(connectSeconds: 5, reconnectSeconds: 60))
        defer { link.close() }
        _ = try await link.request(.listTopics(after: ""))
        broker.stop()
        let asked = Task { try await link.request(.listTopics(after: "")) }
        try broker.start()
        // Either it was answered by the new broker, or the old one took it along: never more than that.
        do { _ = try await asked.value } catch let error as ClientError { #expect(error.code == .connection) }
        _ = try await link.request(.listTopics(after: ""))
    }

    @Test func aBrokerThatOnlyHangsUpIsGivenUpOn() async throws {
        let rude = try RudeBroker()
        defer { rude.stop() }
        let admin = Admin(broker: .sharedMemory(path: rude.path), timeoutSeconds: 0.5)
        defer { admin.close() }
        var last: ClientError?
        for _ in 0..<200 {
            do throws(ClientError) { _ = try await admin.listTopics() } catch {
                if last?.description == error.description, rude.connections.load(ordering: .relaxed) >= 3 { break }
                last = error
            }
        }
        #expect(last?.code == .connection)
        // 50, 100, 200 ms … apart: without a pause there would be thousands.
        #expect(rude.connections.load(ordering: .relaxed) < 12)
    }

    @Test func theLastReferenceMayGoOnTheLinksThread() async throws {
        let broker = try InProcessBroker()
        let holder = Mutex<LinkHandle?>(nil)
        let agent = ClosingAgent { holder.withLock { $0 }?.close() }
        let link = Links.open(
            broker.address, agent: agent, patience: LinkPatience(connectSeconds: 5, reconnectSeconds: 5))
        holder.withLock { $0 = link }
        await withCheckedContinuation { agent.whenFailed($0) }
        let error = await #expect(throws: ClientError.self) { _ = try await link.request(.listTopics(after: "")) }
        #expect(error?.code == .closed)
    }

    /// Closes its link from the link's own thread, at every turn.
    final class ClosingAgent: LinkAgent {
        private let close: @Sendable () -> Void
        private let state = Mutex<(hasFailed: Bool, waiter: CheckedContinuation<Void, Never>?)>((false, nil))
        init(_ close: @escaping @Sendable () -> Void) { self.close = close }

        func whenFailed(_ continuation: CheckedContinuation<Void, Never>) {
            let isNow = state.withLock { state in
                if !state.hasFailed { state.waiter = continuation }
                return state.hasFailed
            }
            if isNow { continuation.resume() }
        }

        func makeRegions() -> [(memory: MemoryBlock, access: PeerAccess)] { [] }
        func connected(_ link: any LinkPort, _ welcome: Handshake.Welcome, _ regions: [RemoteRegion]) {}
        func received(_ acks: [ProduceAck]) {}
        func ended(_ partition: PartitionAddress, _ error: ErrorCode, offset: Int64) {}
        func advanced(_ immediate: UInt32) {}
        func turn(_ link: any LinkPort, now: UInt64) -> UInt64? {
            close()
            return nil
        }
        var hasWork: Bool { true }
        func disconnected() {}
        func failed(_ error: ClientError) {
            let waiter = state.withLock { state in
                state.hasFailed = true
                return state.waiter
            }
            waiter?.resume()
        }
    }
}

/// Takes every connection, says welcome, and hangs up.
final class RudeBroker: Sendable {
    let path = "/tmp/rdmad-rude-\(getpid())-\(UInt32.random(in: 0 ... .max)).sock"
    let connections = Atomic(0)
    private let isStopping = Atomic(false)
    private let ended = DispatchSemaphore(value: 0)

    init() throws {
        let ready = DispatchSemaphore(value: 0)
        startThread { [self] in
            guard let fabric = try? SharedMemoryFabric(configuration: .broker), (try? fabric.listen(path: path)) != nil
            else { preconditionFailure("cannot listen on \(path)") }
            ready.signal()
            var events: [FabricEvent] = []
            while !isStopping.load(ordering: .acquiring) {
                events.removeAll()
                _ = fabric.poll(into: &events)
                for event in events {
                    switch event {
                    case .requested(let id):
                        let welcome = Handshake.Welcome(version: 1, batchBytesMax: 1 << 20, producesInFlightMax: 4)
                        try? fabric.accept(id, privateData: Handshake.welcome(welcome))
                    case .established(let id):
                        connections.add(1, ordering: .relaxed)
                        fabric.disconnect(id)
                    case .received(let message): fabric.release(message)
                    default: break
                    }
                }
                fabric.flush()
            }
            fabric.shutdown()
            ended.signal()
        }
        ready.wait()
    }

    func stop() {
        isStopping.store(true, ordering: .releasing)
        ended.wait()
    }
}
