-- repro's tables for a new MySQL or MariaDB data base, with room for the hashes of today.
--
--   mysql -e 'CREATE DATABASE repro CHARACTER SET utf8mb4' && mysql repro < mysql.sql
--
-- With a TableNamePrefix, put it before the name of each table. An older data base of repro keeps its tables and takes:
--   ALTER TABLE users MODIFY passwordHash VARCHAR(512), MODIFY passwordHashAlt VARCHAR(512);
-- The user that Sipvouch comes as needs SELECT on all, and INSERT, UPDATE, DELETE where it shall write.
--
-- Keys are compared octet by octet (utf8mb4_bin): two that differ in case are two.

-- Who has a password.
CREATE TABLE users (
    id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user VARCHAR(64) NOT NULL,
    domain VARCHAR(253),
    realm VARCHAR(253),
    -- [MD5]…[SHA-256]…[SHA-512-256]… has 187 characters.
    passwordHash VARCHAR(512),
    passwordHashAlt VARCHAR(512),
    name VARCHAR(256),
    email VARCHAR(256),
    forwardAddress VARCHAR(256),
    UNIQUE KEY user_domain (user, domain)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- What a name in a certificate may use: user@domain, or domain.
CREATE TABLE tlsPeerIdentity (
    id INT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    peerName VARCHAR(253) NOT NULL,
    authorizedIdentity VARCHAR(253) NOT NULL,
    KEY peerName (peerName)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The rest is repro's records: attr is the key, value the octets in base64.
CREATE TABLE routesavp (attr VARCHAR(255) NOT NULL PRIMARY KEY, value VARCHAR(4096))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE aclsavp (attr VARCHAR(255) NOT NULL PRIMARY KEY, value VARCHAR(4096))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE configsavp (attr VARCHAR(255) NOT NULL PRIMARY KEY, value VARCHAR(4096))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE staticregsavp (attr VARCHAR(255) NOT NULL PRIMARY KEY, value VARCHAR(4096))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE TABLE filtersavp (attr VARCHAR(255) NOT NULL PRIMARY KEY, value VARCHAR(4096))
    ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Kept messages; attr2 is the address-of-record that they are for. MEDIUMTEXT: 20315 characters of four octets are
-- more than a row may have.
CREATE TABLE siloavp (
    attr VARCHAR(255) NOT NULL PRIMARY KEY,
    attr2 VARCHAR(255) NOT NULL,
    value MEDIUMTEXT,
    KEY attr2 (attr2)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
