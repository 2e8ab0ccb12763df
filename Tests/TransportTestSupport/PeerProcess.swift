package import Foundation

/// A program of this package in another process, with its standard output and error as text.
package final class PeerProcess {
    package let process = Process()
    private let output = Pipe()

    /// Directory of the built programs: where this test bundle is.
    package static var programs: URL {
        URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    }

    package init(_ program: String, _ arguments: [String], through wrapper: [String] = []) throws {
        let path = Self.programs.appendingPathComponent(program).path
        let words = wrapper + [path] + arguments
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = words
        process.standardOutput = output
        process.standardError = output
        try process.run()
    }

    package func kill() {
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    /// Waits for the end; everything it said, and its exit status.
    package func finish() throws -> (text: String, status: Int32) {
        let data = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (String(decoding: data, as: UTF8.self), process.terminationStatus)
    }

    deinit { if process.isRunning { Foundation.kill(process.processIdentifier, SIGKILL) } }
}
