import BrokerCore
import Dispatch
import FabricFrontend
import Glibc
import Logging
import Reactor
import Synchronization
import TopicLog

@testable import RdmadClient

/// A real broker on a thread of this process, with a shared-memory door. It can be stopped and started again.
final class InProcessBroker: Sendable {
    let directory: String
    let address: BrokerAddress
    private let limits: DoorLimits
    private let running = Mutex<(stopper: Stopper, ended: DispatchSemaphore)?>(nil)

    init(_ limits: DoorLimits = DoorLimits()) throws {
        self.limits = limits
        var template = Array("/tmp/rdmad-client-test-XXXXXX".utf8CString)
        directory = unsafe template.withUnsafeMutableBufferPointer { buffer in
            precondition(unsafe mkdtemp(buffer.baseAddress!) != nil, "no temporary directory")
            return unsafe String(cString: buffer.baseAddress!)
        }
        address = .sharedMemory(path: directory + "/sock")
        try start()
    }

    deinit {
        stop()
        remove(directory)
    }

    private func remove(_ path: String) {
        guard let entries = unsafe opendir(path) else { return }
        while let entry = unsafe readdir(entries) {
            let name = unsafe withUnsafeBytes(of: entry.pointee.d_name) {
                unsafe String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name != ".", name != ".." else { continue }
            if unsafe unlink(path + "/" + name) != 0 { remove(path + "/" + name) }
        }
        unsafe closedir(entries)
        unsafe rmdir(path)
    }

    func start() throws {
        let ready = DispatchSemaphore(value: 0)
        let ended = DispatchSemaphore(value: 0)
        let outcome = Mutex<Result<Stopper, any Error>?>(nil)
        let (directory, path, limits) = (directory + "/data", directory + "/sock", limits)
        startThread {
            do {
                var options = LogOptions()
                options.flushPolicy = .none
                let log = try LogDirectory.open(path: directory, options: options)
                let broker = Broker(directory: log, flusher: try Flusher(), doors: 1)
                var quiet = Logger(label: "broker") { StreamLogHandler.standardError(label: $0) }
                quiet.logLevel = .critical
                let door = try Doors.sharedMemory(
                    path: path, number: 0, broker: broker, limits: limits, arenaBytes: Doors.arenaBytesMin,
                    log: quiet)
                let loop = BrokerLoop(broker: broker, doors: [door], log: quiet)
                outcome.withLock { $0 = .success(loop.stopper) }
                ready.signal()
                loop.run()
                try broker.close()
            } catch {
                outcome.withLock { $0 = .failure(error) }
                ready.signal()
            }
            ended.signal()
        }
        ready.wait()
        let stopper = try outcome.withLock { $0! }.get()
        running.withLock { $0 = (stopper, ended) }
    }

    func stop() {
        let current = running.withLock { current in
            defer { current = nil }
            return current
        }
        guard let current else { return }
        current.stopper.stop()
        current.ended.wait()
    }

    /// A topic, and a connection that is closed again.
    func createTopic(_ name: String, partitions: Int = 1, configs: [String: String] = [:]) async throws {
        let admin = Admin(broker: address)
        defer { admin.close() }
        try await admin.createTopic(name, partitions: partitions, configs: configs)
    }
}
