import ArgumentParser
import BrokerCore
import CLinux
import FabricFrontend
import Glibc
import KafkaFrontend
import Logging
import RDMATransport
import Reactor
import Synchronization
import TopicLog

/// `rdmad serve`: runs a broker until SIGTERM or SIGINT.
struct Serve: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Run a broker.",
        discussion: """
            Serves clients on this node through shared memory, and anywhere through RDMA where there is a device.
            Without --listen it takes shm:///run/rdmad/rdmad.sock, and rdma://0.0.0.0:9440 if a device is found.

              rdmad serve --data /var/lib/rdmad
              rdmad serve --data /tmp/data --listen shm:///tmp/rdmad.sock --flush none
              rdmad serve --data /tmp/data --listen kafka://127.0.0.1:9092

            Kafka clients connect to kafka://HOST[:PORT], which anybody may unless --listen says otherwise: see
            docs/settings.md.

            --flush says when a batch counts as written: 'group' after fdatasync (many batches share one), 'interval:MS'
            at once with a sync every MS milliseconds, 'none' at once, and only segments that are full are synced. With
            anything but 'group' a power cut may lose acknowledged records.

            SIGTERM and SIGINT end it cleanly: everything is synced, and it exits with 0.
            """)

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Directory of the logs. Created if missing; one broker at a time. May be given again, for more disks: the "
                + "first holds the catalog, each new partition goes where the fewest are.", valueName: "directory"))
    var data = ["/var/lib/rdmad"]

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Where to listen: shm:///PATH, rdma://HOST[:PORT], or for Kafka clients kafka://HOST[:PORT], with TLS "
                + "kafka+tls://, with logins kafka+sasl://, with both kafka+sasl+tls://. May be given again.",
            valueName: "url"))
    var listen: [String] = []

    @Option(name: .long, help: "When a batch counts as written: group, interval:MS or none.")
    var flush = "group"

    @Option(
        name: .long,
        help: "Memory that batches land in, per door, in bytes (at least 16777216). Registered with the device.")
    var arenaBytes = 64 << 20

    @Option(
        name: .long,
        help: "Memory for log files that consumers are served from where they are mapped, per door, in bytes; 0: none.")
    var windowBytes = 64 << 20

    @Option(name: .long, help: "Size at which a log begins a new segment file, in bytes.")
    var segmentBytes = 1 << 30

    @Option(name: .long, help: "Longest batch accepted, in bytes.")
    var maxMessageBytes = 1_048_588

    @Flag(name: .long, help: "Look at each record of a batch, compressed ones too, not only at header and checksum.")
    var validateRecords = false

    @Option(
        name: .long,
        help: "What happens to old segments: delete, compact (the latest record of each key stays), or compact,delete.")
    var logCleanupPolicy = "delete"

    @Option(name: .long, help: "Delete segments whose latest record is older, in milliseconds; -1 for never.")
    var logRetentionMs: Int64 = 7 * 24 * 3_600_000

    @Option(name: .long, help: "Delete a partition's oldest segments while it keeps at least so much; -1 for never.")
    var logRetentionBytes: Int64 = -1

    @Option(name: .long, help: "Age at which a segment is closed even if it is not full, in milliseconds.")
    var logRollMs: Int64 = 7 * 24 * 3_600_000

    @Option(name: .long, help: "How often to delete and compact, in milliseconds.")
    var logRetentionCheckIntervalMs: UInt64 = 300_000

    @Option(name: .long, help: "How long compaction keeps a tombstone, in milliseconds.")
    var logCleanerDeleteRetentionMs: Int64 = 24 * 3_600_000

    @OptionGroup(title: "Seats") var seats: SeatSettings
    @OptionGroup(title: "Consumer groups") var groups: GroupSettings
    @OptionGroup(title: "Kafka clients") var kafka: KafkaSettings
    @OptionGroup(title: "Transactions") var transactions: TransactionSettings
    @OptionGroup(title: "Limits") var limits: LimitOptions

    @Option(name: .long, help: "trace, debug, info, notice, warning, error or critical.")
    var logLevel = "info"

    func validate() throws {
        guard FlushPolicy(flush) != nil else {
            throw ValidationError("--flush is group, interval:MS or none, not '\(flush)'")
        }
        guard arenaBytes >= Doors.arenaBytesMin else {
            throw ValidationError("--arena-bytes is at least \(Doors.arenaBytesMin)")
        }
        guard windowBytes >= 0 else { throw ValidationError("--window-bytes is at least 0") }
        guard (1...Int(Int32.max)).contains(segmentBytes) else {
            throw ValidationError("--segment-bytes is 1 to \(Int32.max)")
        }
        guard (1024...LogOptions.batchBytesCeiling).contains(maxMessageBytes), maxMessageBytes <= arenaBytes / 8 else {
            throw ValidationError("--max-message-bytes is 1024 to 8388608, and at most an eighth of --arena-bytes")
        }
        guard CleanupPolicy(logCleanupPolicy) != nil else {
            throw ValidationError(
                "--log-cleanup-policy is delete, compact or compact,delete, not '\(logCleanupPolicy)'")
        }
        guard logRetentionMs >= -1, logRetentionBytes >= -1 else {
            throw ValidationError("--log-retention-ms and --log-retention-bytes are at least 0, or -1 for never")
        }
        guard logRollMs > 0, (1...86_400_000).contains(logRetentionCheckIntervalMs) else {
            throw ValidationError("--log-roll-ms is positive, --log-retention-check-interval-ms 1 to 86400000")
        }
        guard logCleanerDeleteRetentionMs >= 0 else {
            throw ValidationError("--log-cleaner-delete-retention-ms is at least 0")
        }
        guard Logger.Level(rawValue: logLevel) != nil else {
            throw ValidationError("unknown --log-level '\(logLevel)'")
        }
        for url in listen { _ = try ListenAddress(url) }
    }

    func run() throws {
        // Without it the soft limit of a shell (1024) is met long before ours.
        _ = clinux_raise_descriptor_limit()
        var log = Logger(label: "rdmad") { StreamLogHandler.standardError(label: $0) }
        log.logLevel = Logger.Level(rawValue: logLevel)!
        let running = Running()
        TerminationSignals.onTermination { [log] number in
            log.notice("stopping", metadata: ["signal": "\(number)"])
            // Before there is a loop nothing is to be closed: recovery begins again where it was.
            guard let stopper = running.stopper.withLock({ $0 }) else { _exit(128 + number) }
            stopper.stop()
        }

        let directory: LogDirectory
        let flusher: Flusher
        let compactor: Compactor
        let directoryThread: DirectoryThread
        do {
            directory = try RecoveryMeter.watch(log) {
                try LogDirectory.open(
                    path: data[0], others: Array(data.dropFirst()), options: logOptions, progress: $0)
            }
            flusher = try Flusher(volumes: directory.volumes)
            compactor = try Compactor()
            directoryThread = try DirectoryThread()
        } catch {
            throw Failure("\(error)")
        }
        report(directory.recoveryReport, to: log)

        var addresses = try listen.isEmpty ? defaultAddresses(log) : listen.map { ($0, try ListenAddress($0), true) }
        if let seats = seats.options { addresses.append(("the seats", .seats(seats), true)) }
        let broker = Broker(
            directory: directory, flusher: flusher, compactor: compactor, directoryThread: directoryThread,
            doors: addresses.count,
            retentionCheckMilliseconds: logRetentionCheckIntervalMs, limits: limits.broker,
            quotas: try limits.quotas, groups: groups.options, transactions: transactions.options,
            settings: try settings())
        var limits = limits.door
        limits.batchBytesMax = maxMessageBytes
        limits.inspectsRecords = validateRecords
        limits.windowBytesMax = windowBytes
        var doors: [any Door] = []
        var kafkaDoors = KafkaDoors(
            settings: kafka, connectionsMax: self.limits.maxConnections, inspectsRecords: validateRecords)
        for (url, address, isWanted) in addresses {
            do {
                doors.append(try open(address, number: doors.count, broker, limits, &kafkaDoors, log))
                log.notice("listening", metadata: ["on": "\(doors.last!.address)"])
            } catch {
                // What was asked for must work; what was only found may not.
                guard !isWanted else { throw Failure("cannot listen on \(url): \(error)") }
                log.warning("not listening", metadata: ["on": "\(url)", "why": "\(error)"])
            }
        }
        let loop = BrokerLoop(broker: broker, doors: doors, log: log)
        running.stopper.withLock { $0 = loop.stopper }
        log.notice(
            "ready",
            metadata: [
                "data": "\(data.joined(separator: " "))", "flush": "\(broker.flushPolicy)",
                "topics": "\(broker.topicCount)",
            ])
        loop.run()
        kafkaDoors.shutdown()
        for door in doors { log.info("door closed", metadata: door.metadata) }
        do { try broker.close() } catch { throw Failure("\(error)") }
        log.notice("stopped")
    }

    private var logOptions: LogOptions {
        var options = LogOptions()
        options.segmentBytes = segmentBytes
        options.batchBytesMax = maxMessageBytes
        options.flushPolicy = FlushPolicy(flush)!
        options.cleanupPolicy = CleanupPolicy(logCleanupPolicy)!
        options.retentionMilliseconds = logRetentionMs
        options.retentionBytes = logRetentionBytes
        options.segmentMilliseconds = logRollMs
        options.deleteRetentionMilliseconds = logCleanerDeleteRetentionMs
        options.producerExpirationMilliseconds = transactions.producerIdExpirationMs
        options.recoveryThreads = max(1, min(8, sysconf(Int32(_SC_NPROCESSORS_ONLN))))
        return options
    }

    private func open(
        _ address: ListenAddress, number: Int, _ broker: Broker, _ limits: DoorLimits,
        _ kafkaDoors: inout KafkaDoors, _ log: Logger
    ) throws -> any Door {
        switch address {
        case .sharedMemory(let path):
            try Doors.sharedMemory(
                path: path, number: number, broker: broker, limits: limits, arenaBytes: arenaBytes, log: log)
        case .seats(let seats):
            try Doors.seats(
                seats, number: number, broker: broker, limits: limits, arenaBytes: arenaBytes, log: log)
        case .rdma(let host, let port):
            try Doors.verbs(
                host: host, port: port, number: number, broker: broker, limits: limits, arenaBytes: arenaBytes, log: log
            )
        case .kafka(let address):
            try kafkaDoors.open(address, number: number, broker, log)
        }
    }

    /// What to listen on when nothing was asked for: shared memory always, RDMA where there is a device.
    private func defaultAddresses(_ log: Logger) throws -> [(String, ListenAddress, Bool)] {
        let path = "/run/rdmad/rdmad.sock"
        unsafe mkdir("/run/rdmad", 0o755)
        var addresses = [("shm://\(path)", ListenAddress.sharedMemory(path: path), true)]
        let devices = DeviceContext.deviceNames()
        if devices.isEmpty {
            log.notice("no RDMA device found: shared memory only", metadata: ["see": "rdmad doctor"])
        } else {
            log.notice("RDMA devices found", metadata: ["devices": "\(devices.joined(separator: " "))"])
            addresses.append(("rdma://0.0.0.0:9440", .rdma(host: "0.0.0.0", port: 9440), false))
        }
        return addresses
    }

    private func report(_ report: RecoveryReport, to log: Logger) {
        log.info("recovered", metadata: ["topics": "\(report.topicCount)", "partitions": "\(report.partitions.count)"])
        for config in report.raisedConfigs {
            log.warning(
                "a topic's config is less than it can be by now",
                metadata: [
                    "topic": "\(config.topic)", "config": "\(config.name)", "stored": "\(config.stored)",
                    "used": "\(config.value)",
                ])
        }
        for partition in report.partitions {
            let name = "\(partition.topic)-\(partition.partition)"
            if partition.recovery.tornBytes > 0 {
                log.warning(
                    "cut a torn tail",
                    metadata: ["partition": "\(name)", "bytes": "\(partition.recovery.tornBytes)"])
            }
            if let fence = partition.fence {
                log.error("partition fenced", metadata: ["partition": "\(name)", "why": "\(fence)"])
            }
        }
    }
}

/// Where to listen.
enum ListenAddress {
    case sharedMemory(path: String)
    case seats(Seats)
    case rdma(host: String, port: UInt16)
    case kafka(KafkaAddress)

    init(_ url: String) throws {
        if url.hasPrefix("shm:///") {
            self = .sharedMemory(path: String(url.dropFirst("shm://".count)))
            return
        }
        if url.hasPrefix("kafka") {
            self = .kafka(try KafkaAddress(url))
            return
        }
        guard url.hasPrefix("rdma://") else {
            throw ValidationError("'\(url)' is none of shm:///PATH, rdma://HOST[:PORT], \(KafkaAddress.forms)")
        }
        let rest = url.dropFirst("rdma://".count)
        let colon = rest.lastIndex(of: ":")
        let host = String(colon.map { rest[..<$0] } ?? rest)
        guard !host.isEmpty, let port = colon.map({ UInt16(rest[rest.index(after: $0)...]) }) ?? 9440 else {
            throw ValidationError("'\(url)' has no host, or a port that is not a number")
        }
        self = .rdma(host: host, port: port)
    }
}

/// The loop that a signal ends, once there is one.
private final class Running: Sendable {
    let stopper = Mutex<Stopper?>(nil)
}
