import Foundation

/// A program of this package in another process, with its standard output and error as text.
package final class PeerProcess {
    private let child: ChildProcess
    private let output: Int32

    package init(_ program: String, _ arguments: [String], through wrapper: [String] = []) throws {
        let pipe = try makePipe()
        defer { close(pipe.write) }
        output = pipe.read
        let path = ChildProcess.programs.appendingPathComponent(program).path
        child = try ChildProcess(wrapper + [path] + arguments, output: pipe.write, error: pipe.write)
    }

    package func kill() { child.kill() }

    /// Waits for the end; everything it said, and its exit status. Once.
    package func finish() -> (text: String, status: Int32) {
        let text = readToEnd(output)
        return (text, child.wait())
    }
}
