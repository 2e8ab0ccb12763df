internal import Foundation

/// What this process holds that a dead peer must not leave behind.
package struct Resources: Equatable, CustomStringConvertible {
    package var descriptors: Int
    package var sharedMappings: Int
    package var threads: Int

    /// What is held now. Only in a process that does nothing else.
    package static func now() -> Resources {
        let maps = (try? String(contentsOfFile: "/proc/self/maps", encoding: .utf8)) ?? ""
        return Resources(
            descriptors: (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count) ?? 0,
            sharedMappings: maps.split(separator: "\n").count { $0.contains("/memfd:") },
            threads: (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task").count) ?? 0)
    }

    package var description: String {
        "\(descriptors) descriptors, \(sharedMappings) mappings, \(threads) threads"
    }

    /// Resident memory, in bytes.
    package static var residentBytes: Int {
        let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
        let words = text.split(separator: " ")
        return words.count > 1 ? (Int(words[1]) ?? 0) * 4096 : 0
    }
}
