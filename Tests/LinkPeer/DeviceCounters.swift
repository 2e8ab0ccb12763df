import Foundation
import TransportTestSupport

/// The hardware counters of rxe0's port, such as `completer_retry_err`.
struct DeviceCounters: CustomStringConvertible {
    private var values: [String: Int] = [:]

    init() throws {
        let directory = "/sys/class/infiniband/rxe0/ports/1/hw_counters"
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
            let text = try String(contentsOfFile: "\(directory)/\(name)", encoding: .utf8)
            if let value = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) { values[name] = value }
        }
    }

    func since(_ before: DeviceCounters) -> DeviceCounters {
        var difference = self
        for (name, value) in before.values { difference.values[name]? -= value }
        return difference
    }

    func check(required: [String], forbidden: [String]) throws {
        for name in required { try expect(values[name, default: 0] > 0, "\(name) did not grow") }
        for name in forbidden {
            guard let value = values[name] else { throw ScenarioFailure("there is no counter \(name)") }
            try expect(value == 0, "\(name) grew by \(value)")
        }
    }

    var description: String {
        values.filter { $0.value != 0 && $0.key != "lifespan" }.sorted { $0.key < $1.key }
            .map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    }
}

/// Runs a command of this machine, such as tc.
func runCommand(_ command: String) throws {
    let status = try ChildProcess(["sh", "-c", command], output: 1, error: 2).wait()
    try expect(status == 0, "'\(command)' ended with status \(status)")
}

/// Prints a line at once, for whoever waits for it.
func say(_ line: String) {
    print(line)
    fflush(nil)
}
