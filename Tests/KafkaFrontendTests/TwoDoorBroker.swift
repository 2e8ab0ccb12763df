import BrokerCore
import Dispatch
import FabricFrontend
import Foundation
import Logging
import RdmadClient
import Reactor
import Synchronization
import TopicLog

@testable import KafkaFrontend

/// A broker on a thread of this process with a Kafka listener and shared memory.
final class TwoDoorBroker {
    let path = NSTemporaryDirectory() + "two-doors-\(UInt64.random(in: 0 ... .max))"
    let address: BrokerAddress
    let kafkaPort: Int
    private let stopper: Stopper
    private let ended = DispatchSemaphore(value: 0)

    /// - Parameter log: Of the doors.
    init(log doorLog: Logger? = nil) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        address = .sharedMemory(path: path + "/s")
        let ready = DispatchSemaphore(value: 0)
        let outcome = Mutex<Result<(Stopper, String), any Error>?>(nil)
        let (ended, path) = (ended, path)
        let thread = Thread {
            do {
                let directory = try LogDirectory.open(path: path + "/data")
                let broker = Broker(directory: directory, flusher: try Flusher(), doors: 2)
                var quiet = Logger(label: "broker") { StreamLogHandler.standardError(label: $0) }
                quiet.logLevel = .critical
                let shared = try Doors.sharedMemory(
                    path: path + "/s", number: 0, broker: broker, limits: DoorLimits(),
                    arenaBytes: Doors.arenaBytesMin, log: doorLog ?? quiet)
                let resources = try NetworkResources()
                var options = KafkaDoorOptions()
                (options.advertisedHost, options.advertisedPort) = ("127.0.0.1", 0)
                let kafka = try KafkaListener.open(
                    host: "127.0.0.1", port: 0, security: ListenerSecurity(), options: options, number: 1,
                    broker: broker, resources: resources, log: quiet)
                let loop = BrokerLoop(broker: broker, doors: [shared, kafka], log: quiet)
                outcome.withLock { $0 = .success((loop.stopper, kafka.advertised)) }
                ready.signal()
                loop.run()
                resources.shutdown()
                try broker.close()
            } catch {
                outcome.withLock { $0 = .failure(error) }
                ready.signal()
            }
            ended.signal()
        }
        thread.start()
        ready.wait()
        let advertised: String
        (stopper, advertised) = try outcome.withLock { $0! }.get()
        kafkaPort = Int(advertised.split(separator: ":").last ?? "") ?? 0
    }

    func stop() {
        stopper.stop()
        ended.wait()
        try? FileManager.default.removeItem(atPath: path)
    }
}
