import ArgumentParser
import Glibc
import RDMATransport
import TransportBench

/// `rdmad bench`: measures.
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure what the hardware and this library give.", subcommands: [BenchTransport.self])
}

extension BenchSubject: ExpressibleByArgument {}

/// `rdmad bench transport`: perftest's measures, over RDMATransport.
struct BenchTransport: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "transport",
        abstract: "Measure bandwidth, message rate and latency between two RDMA devices, as perftest does.",
        discussion: """
            On one machine, the server:      rdmad bench transport write-bw
            On the other, with its address:  rdmad bench transport write-bw 10.9.0.1
            Both in one command:             rdmad bench transport write-bw --loopback
            Bandwidth, latency, a picture:   rdmad bench transport write --loopback -a --plot write.svg

            Flags and defaults are perftest's (ib_send_bw and its kin) where it has them; only the client's count. MiB
            are 2^20 bytes. Latencies are half of a round trip for send-lat and write-lat, a whole one for read-lat and
            atomic-lat. Exit status: 0 done, 1 failed (the reason is on standard error), 64 wrong usage.
            """)

    @Argument(help: "What to measure: bandwidth, latency, or both of a verb.") var test: BenchSubject
    @Argument(help: "Address of the server. Without one, this is the server.") var host: String?
    @Flag(help: "Start the server as well, on this machine.") var loopback = false
    @Option(name: .shortAndLong, help: "Bytes of each message. Default: 65536 for bandwidth, 2 for latency.")
    var size: Int?
    @Flag(name: .shortAndLong, help: "Every size, powers of two up to 2^23.") var all = false
    @Option(name: [.customShort("n"), .long], help: "Messages of each size.") var iters = 1000
    @Option(name: [.customShort("D"), .long], help: "Seconds of each size, instead; of bandwidths.") var duration = 0
    @Option(name: [.customShort("t"), .long], help: "Requests under way.") var txDepth = 128
    @Option(name: [.customShort("r"), .long], help: "Receives posted.") var rxDepth = 512
    @Option(name: [.customShort("Q"), .long], help: "Requests per completion.") var cqMod = 100
    @Option(name: [.customShort("l"), .long], help: "Requests per doorbell.") var postList = 1
    @Option(name: [.customShort("I"), .customLong("inline-size")], help: "Bytes that a request may carry itself.")
    var inlineSize = 0
    @Flag(name: .shortAndLong, help: "Sleep for completions instead of polling.") var events = false
    @Option(name: .shortAndLong, help: "Port of the server.") var port: UInt16 = 18515
    @Option(help: "Address to listen at. Default: the device's, or any.") var bind: String?
    @Option(name: [.customShort("d"), .long], help: ArgumentHelp("The RDMA device to use.", valueName: "device"))
    var ibDev: String?
    @Flag(help: "Results as JSON, when all are there.") var json = false
    @Option(help: ArgumentHelp("Draws results against size (with --all) into an SVG file.", valueName: "file"))
    var plot: String?

    func options() -> BenchOptions {
        var options = BenchOptions()
        options.tests = test.tests
        options.sizes = all ? BenchOptions.allSizes : size.map { [$0] } ?? []
        (options.iterations, options.sendDepth, options.receiveDepth) = (iters, txDepth, rxDepth)
        (options.moderation, options.postList, options.inlineBytes) = (cqMod, postList, inlineSize)
        (options.usesEvents, options.port) = (events, port)
        (options.durationSeconds, options.device) = (duration, ibDev)
        return options
    }

    func validate() throws {
        if let problem = options().problem() { throw ValidationError(problem) }
        if loopback, host != nil { throw ValidationError("--loopback measures this machine: give no host with it") }
        if all, size != nil { throw ValidationError("-a is every size: give no --size with it") }
        if plot != nil, !all { throw ValidationError("--plot needs more than one size: add --all") }
    }

    func run() throws {
        do {
            if loopback {
                let address = try bind ?? Self.ownAddress(ibDev)
                let server = try BenchServerProcess(test, port: port, bind: address)
                defer { server.end() }
                try measure(address)
            } else if let host {
                try measure(host)
            } else {
                let address = try bind ?? ibDev.map { try Self.ownAddress($0) } ?? "0.0.0.0"
                try BenchSession.server(host: address, options()) { port in
                    print("waiting for a client of \(test.rawValue) on port \(port)")
                    fflush(nil)
                }
            }
        } catch let error as BenchError {
            throw Failure("\(error)")
        } catch let error as FabricError {
            throw Failure("\(error)")
        }
    }

    private func measure(_ host: String) throws {
        var results: [BenchResult] = []
        try BenchSession.client(host: host, options()) { result in
            if !json {
                if results.last?.test != result.test { print(BenchReport.heading(result.test)) }
                print(BenchReport.line(result))
                fflush(nil)
            }
            results.append(result)
        }
        if json { print(BenchReport.json(results)) }
        guard let plot, let picture = BenchPlot.svg(results) else { return }
        guard let file = unsafe fopen(plot, "w") else {
            throw Failure("cannot write \(plot): \(unsafe String(cString: strerror(errno)))")
        }
        let isWritten = unsafe fputs(picture, file) >= 0
        guard unsafe fclose(file) == 0, isWritten else {
            throw Failure("cannot write \(plot): the disk may be full")
        }
    }

    /// An IPv4 address of a device, or of the first that has one.
    private static func ownAddress(_ device: String?) throws -> String {
        for name in device.map({ [$0] }) ?? DeviceContext.deviceNames() {
            let context = try DeviceContext(name: name)
            if let address = try? context.selectGID(), address.isIPv4 { return "\(address)" }
        }
        if let device { throw Failure("\(device) has no IPv4 address: give one with --bind") }
        throw Failure("no RDMA device with an IPv4 address here: rdmad doctor says more")
    }
}

/// The server of a loopback measurement: this program again, in a process of its own.
private final class BenchServerProcess {
    private var process: pid_t = 0

    init(_ test: BenchSubject, port: UInt16, bind: String) throws {
        var ends: [Int32] = [0, 0]
        guard unsafe pipe(&ends) == 0 else { throw Failure("cannot make a pipe") }
        var actions = unsafe posix_spawn_file_actions_t()
        unsafe posix_spawn_file_actions_init(&actions)
        unsafe posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
        unsafe posix_spawn_file_actions_addclose(&actions, ends[0])
        defer { unsafe posix_spawn_file_actions_destroy(&actions) }
        let words = ["rdmad", "bench", "transport", test.rawValue, "--port", "\(port)", "--bind", bind]
        var arguments: [UnsafeMutablePointer<CChar>?] = unsafe words.map { unsafe strdup($0) } + [nil]
        defer { unsafe arguments.forEach { unsafe free($0) } }
        let result = unsafe posix_spawn(&process, "/proc/self/exe", &actions, nil, &arguments, environ)
        close(ends[1])
        guard result == 0 else { throw Failure("cannot start the server: \(unsafe String(cString: strerror(result)))") }
        // It says that it waits, or it ends and has said why on standard error.
        var byte: UInt8 = 0
        let count = unsafe read(ends[0], &byte, 1)
        close(ends[0])
        guard count == 1 else {
            end()
            throw Failure("the server did not start")
        }
    }

    func end() {
        kill(process, SIGTERM)
        var status: Int32 = 0
        _ = unsafe waitpid(process, &status, 0)
    }
}
