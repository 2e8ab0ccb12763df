import Foundation
import Glibc
import Logging
import Synchronization

@testable import KafkaFrontend

/// A listener with a thread behind it that answers commands as a test says.
final class StubReactor: Sendable {
    let network: KafkaNetwork
    let resources: NetworkResources
    private let queue: CommandQueue
    private let isStopped = Atomic<Bool>(false)
    /// It takes nothing: what is handed over waits.
    let isPaused = Atomic<Bool>(false)
    private let hasEnded = DispatchSemaphore(value: 0)
    private let seen = Mutex<[KafkaCommand]>([])

    /// - Parameter answer: What goes back for a command. Called on the thread.
    init(
        _ configuration: NetworkConfiguration = StubReactor.configuration(), security: ListenerSecurity? = nil,
        isKeeping: Bool = false, log: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        answer: @escaping @Sendable (KafkaCommand) -> [KafkaAnswer]
    ) throws {
        queue = CommandQueue()
        resources = try NetworkResources(configuration)
        network = try KafkaNetwork(
            host: "127.0.0.1", port: 0, security: security ?? ListenerSecurity(), queue: queue, resources: resources,
            log: log)
        let thread = Thread { [self] in run(isKeeping: isKeeping, answer) }
        thread.start()
    }

    static func configuration(
        _ change: (inout NetworkConfiguration) -> Void = { _ in }
    ) -> NetworkConfiguration {
        var configuration = NetworkConfiguration()
        configuration.threads = 2
        change(&configuration)
        return configuration
    }

    func connect() throws -> RawClient { try RawClient(port: network.boundPort) }

    /// What came, without the frames' memory, when `isKeeping`.
    var commands: [KafkaCommand] { seen.withLock { $0 } }

    /// The same, and it is forgotten: then it was served.
    func takeCommands() -> [KafkaCommand] {
        seen.withLock { seen in
            defer { seen = [] }
            return seen
        }
    }

    func counter(_ name: String) -> Int { network.counters.first { $0.name == name }!.count }

    /// Waits until something is so, ten seconds at most.
    func waits(until isSo: () -> Bool) -> Bool {
        for _ in 0..<2000 {
            if isSo() { return true }
            usleep(5000)
        }
        return isSo()
    }

    func stop() {
        isStopped.store(true, ordering: .relaxed)
        hasEnded.wait()
        network.shutdown()
        resources.shutdown()
    }

    private func run(isKeeping: Bool, _ answer: @Sendable (KafkaCommand) -> [KafkaAnswer]) {
        var commands: [KafkaCommand] = []
        var loops: [UInt64: Int] = [:]
        while !isStopped.load(ordering: .relaxed) {
            if queue.prepareToSleep() {
                var entry = pollfd(fd: queue.descriptor, events: Int16(POLLIN), revents: 0)
                _ = unsafe poll(&entry, 1, 20)
            }
            if !isPaused.load(ordering: .relaxed) { queue.take(into: &commands) }
            for command in commands {
                if case .opened(let peer) = command.body { loops[command.connection] = peer.loop }
                if isKeeping { seen.withLock { $0.append(command) } }
                let answers = answer(command)
                for (connection, group) in Dictionary(grouping: answers, by: \.connection) {
                    network.deliver(group, toLoop: loops[connection]!)
                }
            }
            commands.removeAll()
        }
        hasEnded.signal()
    }
}

extension StubReactor {
    /// Whether something becomes so within a time that is spent when it does not.
    func waits(for microseconds: UInt32, until isSo: () -> Bool) -> Bool {
        for _ in 0..<10 {
            if isSo() { return true }
            usleep(microseconds / 10)
        }
        return isSo()
    }
}
