import Foundation
import Testing
import TransportTestSupport

/// Programs that misuse the library and must not compile, with what the compiler has to say.
@Suite struct CompileFailTests {
    struct Misuse: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// The body of a function that gets a queue pair and a pool.
        let body: String
        /// Part of the diagnostic; nil: it must compile.
        let diagnostic: String?
        init(_ name: String, _ body: String, _ diagnostic: String?) {
            testDescription = name
            self.body = body
            self.diagnostic = diagnostic
        }
    }

    static let misuses = [
        Misuse(
            "control: correct use compiles",
            """
            var buffer = pool.take()!
            buffer.copy(from: [1, 2, 3])
            try queuePair.post(.send, buffer).get()
            """, nil),
        Misuse(
            "writing to a posted buffer",
            """
            var buffer = pool.take()!
            try queuePair.post(.send, buffer).get()
            buffer.byteCount = 20
            """, "'buffer' used after consume"),
        Misuse(
            "reading a posted receive",
            """
            let buffer = pool.take()!
            try queuePair.postReceive(buffer).get()
            print(buffer.contents())
            """, "'buffer' used after consume"),
        Misuse(
            "posting a buffer twice",
            """
            let buffer = pool.take()!
            try queuePair.post(.send, buffer).get()
            try queuePair.post(.send, buffer).get()
            """, "'buffer' consumed more than once"),
        Misuse(
            "holding on to the bytes of a posted buffer",
            """
            let buffer = pool.take()!
            let bytes = buffer.bytes
            try queuePair.post(.send, buffer).get()
            print(bytes.byteCount)
            """, "'buffer'"),
        Misuse(
            "copying a buffer",
            """
            let buffer = pool.take()!
            let copy = buffer
            print(buffer.byteCount, copy.byteCount)
            """, "'buffer' used after consume"),
        Misuse(
            "keeping a buffer's bytes longer than the buffer",
            """
            var kept: RawSpan
            do {
                let buffer = pool.take()!
                kept = buffer.bytes
            }
            print(kept.byteCount)
            """, "lifetime-dependent"),
        Misuse(
            "using a closed queue pair",
            """
            func end(_ owned: consuming QueuePair) throws {
                owned.close()
                print(owned.number)
            }
            """, "'owned' used after consume"),
        Misuse(
            "keeping a writer of work requests",
            """
            func keep(_ writer: consuming WorkRequestWriter) {}
            _ = queuePair.write { writer in keep(writer) }
            """, "'writer' is borrowed and cannot be consumed"),
        Misuse(
            "copying a memory region",
            """
            func share(_ region: borrowing MemoryRegion) -> MemoryRegion { region }
            """, "'region' is borrowed and cannot be consumed"),
    ]

    @Test(arguments: misuses) func theCompilerSaysNo(_ misuse: Misuse) throws {
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("misuse-\(UUID()).swift")
        defer { try? FileManager.default.removeItem(at: file) }
        let lines = misuse.body.split(separator: "\n").map { "    " + $0 }.joined(separator: "\n")
        try """
        import RDMATransport

        func misuse(_ queuePair: borrowing QueuePair, _ pool: borrowing BufferPool) throws {
        \(lines)
        }

        """.write(to: file, atomically: true, encoding: .utf8)
        let (text, status) = try compile(file.path)
        guard let diagnostic = misuse.diagnostic else {
            #expect(status == 0, "\(text)")
            return
        }
        #expect(status != 0, "it compiled")
        let errors = text.split(separator: "\n").filter { $0.contains("error:") }
        #expect(errors.contains { $0.contains(diagnostic) }, "\(text)")
    }

    /// Ownership errors need SIL: type checking alone does not see them.
    private func compile(_ path: String) throws -> (text: String, status: Int32) {
        let root = URL(fileURLWithPath: #filePath).appendingPathComponent("../../..").standardized.path
        let modules = ChildProcess.programs.appendingPathComponent("Modules").path
        let pipe = try makePipe()
        let child = try ChildProcess(
            [
                "swiftc", "-emit-sil", "-o", "/dev/null", "-swift-version", "6", "-I", modules,
                "-Xcc", "-fmodule-map-file=\(root)/Sources/CVerbs/module.modulemap",
                "-Xcc", "-fmodule-map-file=\(root)/Sources/CLinux/module.modulemap", path,
            ], output: pipe.write, error: pipe.write)
        close(pipe.write)
        return (readToEnd(pipe.read), child.wait())
    }
}
