import Foundation

/// A Soft-RoCE device of a test's own, on a dummy network interface: for what would disturb rxe0. Needs root.
/// It stays until the guest ends: the other process may have it open, and a removal would wait for that.
package final class SpareDevice: Sendable {
    package let name: String
    package let interface: String
    /// The first of its two addresses, and the second.
    package let host: String
    package let secondHost: String

    /// - Parameter number: 1...99; a test's own.
    package init(_ number: Int) throws {
        name = "rxe\(number)"
        interface = "dummy\(number)"
        host = "10.9.\(100 + number).1"
        secondHost = "10.9.\(100 + number).2"
        try Self.command(["ip", "link", "add", interface, "type", "dummy"])
        try Self.command(["ip", "link", "set", interface, "mtu", "9000", "up"])
        try Self.command(["ip", "addr", "add", "\(host)/24", "dev", interface])
        try Self.command(["ip", "addr", "add", "\(secondHost)/24", "dev", interface])
        try Self.command(["rdma", "link", "add", name, "type", "rxe", "netdev", interface])
        // The kernel would answer with counters of some milliseconds ago.
        let lifespan = "/sys/class/infiniband/\(name)/ports/1/hw_counters/lifespan"
        try "0".write(toFile: lifespan, atomically: false, encoding: .utf8)
    }

    /// A counter of its port.
    package func counter(_ counter: String) throws -> Int { try deviceCounter(name, counter) }

    package static func command(_ words: [String]) throws {
        let pipe = try makePipe()
        let child = try ChildProcess(words, output: pipe.write, error: pipe.write)
        close(pipe.write)
        let text = readToEnd(pipe.read)
        let status = child.wait()
        try expect(status == 0, "\(words.joined(separator: " ")) ended with status \(status): \(text)")
    }

    /// What a command prints.
    package static func output(_ words: [String]) throws -> String {
        let pipe = try makePipe()
        let child = try ChildProcess(words, output: pipe.write)
        close(pipe.write)
        let text = readToEnd(pipe.read)
        child.wait()
        return text
    }
}

/// A hardware counter of a device's port 1.
package func deviceCounter(_ device: String, _ counter: String) throws -> Int {
    let path = "/sys/class/infiniband/\(device)/ports/1/hw_counters/\(counter)"
    let text = try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    guard let value = Int(text) else { throw ScenarioFailure("\(path) is '\(text)'") }
    return value
}
