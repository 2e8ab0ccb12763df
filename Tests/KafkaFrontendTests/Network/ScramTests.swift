import Testing

@testable import KafkaFrontend

struct ScramTests {
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func base64AsInRFC4648(text: String, encoded: String) {
        #expect(Base64.encode(Array(text.utf8)) == encoded)
        #expect(Base64.decode(encoded) == Array(text.utf8))
    }

    @Test(arguments: ["Z", "Zg", "Zg=", "Zh==", "Zg==Zg==", "Zm 9v", "Zm9v\n", "===="])
    func whatIsNotBase64IsRefused(text: String) { #expect(Base64.decode(text) == nil) }

    @Test func everyDifferenceIsSeen() {
        let bytes: [UInt8] = [1, 1, 0xff, 0]
        #expect(isEqualInConstantTime(bytes, bytes) && isEqualInConstantTime([], []))
        #expect(!isEqualInConstantTime(bytes, []) && !isEqualInConstantTime(bytes, bytes + [0]))
        for index in bytes.indices {
            for change in UInt8(1)...255 {
                var other = bytes
                other[index] ^= change
                #expect(!isEqualInConstantTime(bytes, other) && !isEqualInConstantTime(other, bytes))
            }
        }
    }

    /// RFC 7677, section 3.
    @Test func theExampleOfRFC7677() throws {
        var users = UserStore()
        let salt = try #require(Base64.decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
        users.set("user", ScramCredential(.sha256, password: "pencil", salt: salt, iterations: 4096))
        var server = ScramServer(.sha256, users: users, nonce: "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
        let first = server.take(Array("n,,n=user,r=rOprNGfwEbeRWgbNEkqO".utf8))
        let nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
        #expect(first == .challenge(Array("r=\(nonce),s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096".utf8)))
        let final = server.take(
            Array("c=biws,r=\(nonce),p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=".utf8))
        let verifier = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        #expect(final == .authenticated(user: "user", Array(verifier.utf8)))
    }

    @Test(arguments: ScramMechanism.allCases) func goodAndBadLogins(mechanism: ScramMechanism) throws {
        var users = UserStore()
        users.set("a=b,c", ScramCredential(mechanism, password: "secret"))
        func login(
            _ user: String, _ password: String, saysNonceTwice: Bool = false, change: (String) -> String = { $0 }
        ) -> ScramServer.Step {
            var server = ScramServer(mechanism, users: users)
            var client = ScramClient(mechanism, user: user, password: password)
            guard case .challenge(let challenge) = server.take(client.first) else { return .failed }
            let final = client.final(challenge, saysNonceTwice: saysNonceTwice)
            return server.take(Array(change(String(decoding: final, as: UTF8.self)).utf8))
        }
        guard case .authenticated("a=b,c", _) = login("a=3Db=2Cc", "secret") else {
            Issue.record("a good login failed")
            return
        }
        guard case .authenticated = login("a=3Db=2Cc", "secret", saysNonceTwice: true) else {
            Issue.record("a login as librdkafka 2.0.2 does it failed")
            return
        }
        #expect(login("a=3Db=2Cc", "Secret") == .failed)
        #expect(login("nobody", "secret") == .failed)
        #expect(login("a=b", "secret") == .failed)
        #expect(login("a=3Db=2Cc", "secret") { $0.replacing("c=biws", with: "c=eSws") } == .failed)
        #expect(login("a=3Db=2Cc", "secret") { $0.replacing(",r=", with: ",r=x") } == .failed)
        #expect(login("a=3Db=2Cc", "secret") { $0.replacing(",p=", with: ",x=1,p=") } == .failed)
        #expect(login("a=3Db=2Cc", "secret") { _ in "" } == .failed)
    }

    @Test(arguments: [
        "", "n", "n,,", "n,,n=user", "n,,r=x,n=user", "p=tls-unique,,n=user,r=x", "n,a=root,n=user,r=x",
        "n,,m=x,n=user,r=x", "n,,n=,r=x", "n,,n=user,r=", "n,,n=us=er,r=x",
    ])
    func badFirstMessagesFail(message: String) {
        var users = UserStore()
        users.set("user", ScramCredential(.sha256, password: "x"))
        var server = ScramServer(.sha256, users: users)
        #expect(server.take(Array(message.utf8)) == .failed)
    }

    @Test func anUnknownUserLooksLikeAKnownOne() {
        let users = UserStore()
        var challenges: [String] = []
        for _ in 0..<2 {
            var server = ScramServer(.sha256, users: users, nonce: "x")
            guard case .challenge(let challenge) = server.take(Array("n,,n=nobody,r=x".utf8)) else { continue }
            challenges.append(String(decoding: challenge, as: UTF8.self))
        }
        // The same salt each time, as it would be with a password.
        #expect(challenges.count == 2 && challenges[0] == challenges[1])
        #expect(!users.isPassword("", of: "nobody"))
    }

    @Test func filesOfUsers() throws {
        var users = UserStore()
        users.set("bob", ScramCredential(.sha512, password: "b"))
        users.set("bob", ScramCredential(.sha256, password: "b"))
        users.set("anna", ScramCredential(.sha256, password: "a"))
        let read = try UserStore(text: "# two of them\n\n" + users.text.replacing(" = ", with: "="), path: "users")
        #expect(read.text == users.text)
        #expect(read.isPassword("b", of: "bob") && read.isPassword("a", of: "anna") && !read.isPassword("a", of: "bob"))
        let line = "anna = \(ScramCredential(.sha256, password: "a"))"
        for bad in [
            "anna", "anna = x", "= \(line.dropFirst(7))", line.replacing("4096", with: "4095"),
            line.replacing("SHA-256", with: "SHA-1"), line + "x", "an na\(line.dropFirst(4))",
        ] {
            let error = #expect(throws: NetworkError.self, "\(bad)") { try UserStore(text: "\n\(bad)", path: "users") }
            #expect(error?.description.hasPrefix("users, line 2: ") == true)
        }
    }
}
