-- Keeps a commit from being done later if it has not been done yet. ARGV: its id. Answers d (done) or v (void).
local key = KEYS[1] .. ':c:' .. ARGV[1]
local outcome = redis.call('GET', key)
if outcome then return outcome end
-- Longer than a commit may come after its reservation.
redis.call('SET', key, 'v', 'PX', 3600000)
return 'v'
