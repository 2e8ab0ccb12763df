import Foundation
import Testing
import TransportTestSupport

/// The programs of `Examples/`, as their first lines say to run them.
@Suite(.serialized) struct ExampleTests {
    func program(_ name: String) -> String { ChildProcess.programs.appendingPathComponent(name).path }

    /// A process whose standard output we read, and whose input we may write.
    final class Running {
        let child: ChildProcess
        let output: FileHandle
        let input: FileHandle

        init(_ words: [String]) throws {
            let (out, into) = (try makePipe(), try makePipe())
            child = try ChildProcess(words, input: into.read, output: out.write, error: out.write)
            close(out.write)
            close(into.read)
            output = FileHandle(fileDescriptor: out.read, closeOnDealloc: true)
            input = FileHandle(fileDescriptor: into.write, closeOnDealloc: true)
        }

        /// Reads until a text has come.
        func wait(for text: String) throws {
            var seen = ""
            while !seen.contains(text) {
                let piece = output.availableData
                try expect(!piece.isEmpty, "ended after: \(seen)")
                seen += String(decoding: piece, as: UTF8.self)
            }
        }
    }

    /// Runs a client until its server is there: a listener says nothing when it begins.
    func client(_ words: [String]) throws -> (text: String, status: Int32) {
        let deadline = Date(timeIntervalSinceNow: 20)
        while true {
            let pipe = try makePipe()
            let child = try ChildProcess(words, output: pipe.write, error: pipe.write)
            close(pipe.write)
            let result = (readToEnd(pipe.read), child.wait())
            if result.1 == 0 || Date() > deadline { return result }
        }
    }

    @Test func echo() throws {
        let server = try ChildProcess([program("rdma-echo")])
        let (text, status) = try client([program("rdma-echo"), rxeHost])
        #expect(text == "10 messages came back\n")
        #expect(status == 0)
        #expect(server.wait() == 0)
    }

    @Test func keyValue() throws {
        let server = try Running([program("rdma-kv")])
        try server.wait(for: "waiting")
        let (text, status) = try client([program("rdma-kv"), rxeHost, "key-7", "key-999", "nobody"])
        #expect(text.contains("key-7: value 49 "))
        #expect(text.contains("key-999: value 998001 "))
        #expect(text.contains("nobody: not there"))
        #expect(status == 0)
        server.child.kill()
    }

    @Test func multicastChat() throws {
        let members = try ["ada", "bob"].map { try Running([program("rdma-chat"), rxeHost, "239.9.9.9", $0]) }
        for member in members { try member.wait(for: "joined 239.9.9.9") }
        try members[0].input.write(contentsOf: Data("hello\n".utf8))
        try members[1].wait(for: "ada: hello\n")
        try members[1].input.write(contentsOf: Data("good day\n".utf8))
        try members[0].wait(for: "bob: good day\n")
        for member in members {
            try member.input.close()
            #expect(member.child.wait() == 0)
        }
    }
}
