import Foundation
import Glibc
import Testing

@testable import TopicLog

/// Not among the log's tests: a child holds their directories' locks for a moment.
@Suite struct FilePinTests {
    static func withFile(_ body: (LogFile) throws -> Void) throws {
        let path = "\(NSTemporaryDirectory())/pin-\(UInt64.random(in: 0 ... .max))"
        let file = try FileSystem(SystemStorage()).open(path, O_RDWR | O_CREAT)
        unsafe unlink(path)
        try file.write([UInt8](repeating: 1, count: 1000), at: 0)
        try body(file)
    }

    @Test func whatIsNotPinnedMayBeCut() throws {
        try Self.withFile { file in
            do {
                let pin = FilePin(file, upTo: 500)
                try file.truncate(to: 500)
                withExtendedLifetime(pin) {}
            }
            try file.truncate(to: 100)
        }
    }

    /// Debug builds stop: a device would go on with the old pages.
    @Test func whatIsPinnedIsNotCut() async throws {
        await #expect(processExitsWith: .failure) {
            try FilePinTests.withFile { file in
                let pin = FilePin(file, upTo: 500)
                try? file.truncate(to: 499)
                withExtendedLifetime(pin) {}
            }
            // The child that came so far does not fail.
            exit(0)
        }
    }
}
