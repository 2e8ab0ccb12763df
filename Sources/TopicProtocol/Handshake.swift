/// What client and broker say in the private data of connect and accept: at most 40 bytes each.
///
/// ```
/// hello     | "rdmd" u32 | oldest version u16 | newest version u16 | client id, up to 32 bytes |
/// welcome   | "rdmd" u32 | version u16 | 0 u16 | batch bytes max u32 | produces in flight max u32 |
/// refusal   | "rdmd" u32 | error i16 | text, up to 34 bytes |
/// ```
package enum Handshake {
    package static let magic: UInt32 = 0x646d_6472
    /// What this side speaks; the newest that both sides do is used.
    package static let oldestVersion: UInt16 = 1
    package static let newestVersion: UInt16 = 2
    package static let bytesMax = 40
    /// Longest client id, in bytes.
    package static let clientIDBytesMax = 32

    /// What a broker grants.
    package struct Welcome: Sendable {
        package var version: UInt16
        /// Longest batch, in bytes.
        package var batchBytesMax: Int
        /// Batches a client may have announced and not yet acknowledged.
        package var producesInFlightMax: Int
        package init(version: UInt16, batchBytesMax: Int, producesInFlightMax: Int) {
            self.version = version
            self.batchBytesMax = batchBytesMax
            self.producesInFlightMax = producesInFlightMax
        }
    }

    /// - Parameter clientID: Whom quotas are counted for; at most 32 bytes, without a zero.
    package static func hello(
        oldest: UInt16 = oldestVersion, newest: UInt16 = newestVersion, clientID: String = ""
    ) -> [UInt8] {
        build { writer in
            writer.integer(magic)
            writer.integer(oldest)
            writer.integer(newest)
            let id = Array(clientID.utf8.prefix(clientIDBytesMax))
            unsafe id.withUnsafeBytes { unsafe writer.run($0) }
        }
    }

    /// The client id of a hello that was taken; empty when it has none. Fabrics may append zero bytes.
    package static func clientID(hello: [UInt8]) -> String {
        String(decoding: hello.dropFirst(8).prefix(clientIDBytesMax).prefix { $0 != 0 }, as: UTF8.self)
    }

    /// The version to speak with a client, the newest that both know, or the refusal to send it.
    package static func answer(hello: [UInt8]) -> Result<UInt16, Refusal> {
        do throws(FrameError) {
            return try parse(hello) { reader throws(FrameError) in
                guard try reader.integer(UInt32.self) == magic else { return .failure(.notOurs) }
                let oldest = try reader.integer(UInt16.self)
                let newest = try reader.integer(UInt16.self)
                let version = min(newest, newestVersion)
                return version >= max(oldest, oldestVersion) ? .success(version) : .failure(.version)
            }
        } catch {
            return .failure(.notOurs)
        }
    }

    /// Why a broker does not take a connection.
    package struct Refusal: Error, Sendable {
        package var error: ErrorCode
        package var text: String
        package init(error: ErrorCode, text: String) {
            self.error = error
            self.text = text
        }
        static let notOurs = Refusal(error: .invalidRequest, text: "not an rdmad client")
        static let version = Refusal(
            error: .unsupportedVersion, text: "broker speaks versions \(oldestVersion) to \(newestVersion)")
    }

    package static func welcome(_ welcome: Welcome) -> [UInt8] {
        build { writer in
            writer.integer(magic)
            writer.integer(welcome.version)
            writer.integer(UInt16(0))
            writer.integer(UInt32(welcome.batchBytesMax))
            writer.integer(UInt32(welcome.producesInFlightMax))
        }
    }

    package static func parseWelcome(_ bytes: [UInt8]) -> Welcome? {
        try? parse(bytes) { reader throws(FrameError) in
            guard try reader.integer(UInt32.self) == magic else { throw FrameError("not a welcome") }
            let version = try reader.integer(UInt16.self)
            _ = try reader.integer(UInt16.self)
            return Welcome(
                version: version, batchBytesMax: Int(try reader.integer(UInt32.self)),
                producesInFlightMax: Int(try reader.integer(UInt32.self)))
        }
    }

    package static func refusal(_ refusal: Refusal) -> [UInt8] {
        build { writer in
            writer.integer(magic)
            writer.integer(refusal.error.rawValue)
            let text = Array(refusal.text.utf8.prefix(bytesMax - 6))
            unsafe text.withUnsafeBytes { unsafe writer.run($0) }
        }
    }

    /// Reads a refusal; fabrics may append zero bytes.
    package static func parseRefusal(_ bytes: [UInt8]) -> Refusal? {
        try? parse(bytes) { reader throws(FrameError) in
            guard try reader.integer(UInt32.self) == magic else { throw FrameError("not a refusal") }
            let error = ErrorCode(rawValue: try reader.integer())
            let rest = unsafe Array(try reader.run(reader.remaining)).prefix { $0 != 0 }
            return Refusal(error: error, text: String(decoding: rest, as: UTF8.self))
        }
    }

    private static func build(_ body: (inout FrameWriter) -> Void) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: bytesMax) { buffer, count in
            var writer = unsafe FrameWriter(UnsafeMutableRawBufferPointer(buffer))
            body(&writer)
            count = writer.count
        }
    }

    private static func parse<T>(
        _ bytes: [UInt8], _ body: (inout FrameReader) throws(FrameError) -> T
    ) throws(FrameError) -> T {
        var result: Result<T, FrameError>?
        unsafe bytes.withUnsafeBytes { raw in
            var reader = unsafe FrameReader(raw)
            do throws(FrameError) { result = .success(try body(&reader)) } catch { result = .failure(error) }
        }
        return try result!.get()
    }
}
