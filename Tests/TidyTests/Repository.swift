import Foundation

/// The tree that this test lies in.
enum Repository {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func isSource(_ path: String) -> Bool {
        (path.hasPrefix("Sources/") || path.hasPrefix("Tests/"))
            && [".swift", ".h", ".c"].contains { path.hasSuffix($0) }
    }

    /// A path as its package sees it: the device plugin is a package of its own, and keeps the same rules.
    static func inPackage(_ path: String) -> String {
        let other = "k8s/device-plugin/"
        return path.hasPrefix(other) ? String(path.dropFirst(other.count)) : path
    }

    /// Every text file that belongs to the tree, by path: what git tracks or would, else all that is there.
    static func files() throws -> [SourceFile] {
        try (trackedPaths() ?? allPaths()).sorted().compactMap { path in
            guard let data = FileManager.default.contents(atPath: root.appendingPathComponent(path).path),
                let text = String(data: data, encoding: .utf8)
            else { return nil }
            return SourceFile(path: path, text: text)
        }
    }

    static func exists(_ path: String) -> Bool {
        FileManager.default.fileExists(atPath: root.appendingPathComponent(path).path)
    }

    private static func trackedPaths() throws -> [String]? {
        let git = Process()
        git.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        git.arguments = ["git", "-C", root.path, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        let output = Pipe()
        git.standardOutput = output
        git.standardError = FileHandle.nullDevice
        try git.run()
        let data = output.fileHandleForReading.readDataToEndOfFile()
        git.waitUntilExit()
        guard git.terminationStatus == 0, !data.isEmpty else { return nil }
        return data.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func allPaths() -> [String] {
        let all = FileManager.default.enumerator(atPath: root.path)?.compactMap { $0 as? String } ?? []
        return all.filter { path in !path.split(separator: "/").contains { $0.hasPrefix(".") } }
    }
}
