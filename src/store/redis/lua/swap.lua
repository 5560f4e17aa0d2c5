-- Swaps records, each if it still has the version that was read. What else their commits bring follows in `commit.lua`; most
-- bring nothing, so nothing is made ready for it here.
-- ARGV: whether this was sent before, how many commits; for each: partition; workspace NUL customer; in one,
-- 8 bytes each: the version expected (0: none), the next one, the commit's id; record ('' deletes it); when it wants to be
-- woken ('' never); when its devices were reserved ('' without any); how many arguments it has in `commit.lua`.
-- A record: version (8 bytes), marks (1): how many commit ids, and what is below; the latest ids (8 each), schema (1),
-- bytes. A deleted one is kept for an hour without what follows the ids; one that is made anew counts on, so that nobody
-- takes it for the one before.
-- Answers for each D (done: the next version), its version (done), C (conflict) or U (it can't be told any more); then,
-- where that may have changed: of which commit's partition, rt (next push) or tm (next wake-up), when it is due or -.
local p
local resent, count = ARGV[1] == '1', tonumber(ARGV[2])
-- It wants to be woken: it is in `:tm`.
local WAKES = 64
local DELETED = 128
local IDS_MAX = 4
local NONE = '\0\0\0\0\0\0\0\0'
-- A reservation's commit comes long before the mark that it is void goes.
local RESERVED_MS = 1800000
local answers, is_done, brings_more, wakes_changed = {}, {}, false, {}

for n = 1, count do
  local i = 7 * n - 4
  p = ARGV[i]
  local who, swap, record, wake_at, reserved_at = ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local key, expected, id = p .. ':s:' .. who, string.sub(swap, 1, 8), string.sub(swap, 17)
  local head = redis.call('GETRANGE', key, 0, 8 + 8 * IDS_MAX)
  local marks = string.byte(head, 9) or DELETED
  local ids = marks % WAKES
  local answer, version = 'D', string.sub(swap, 9, 16)
  if marks >= DELETED or string.sub(head, 1, 8) ~= expected then
    local is_anew = marks >= DELETED and expected == NONE and record ~= ''
    if is_anew then
      if ids > 0 then
        version = struct.pack('>I8', struct.unpack('>I8', head) + 1)
        answer = string.format('%.0f', struct.unpack('>I8', version))
      end
    else
      version = nil
      -- Had it been done, others may have pushed its id out since.
      answer = resent and ids == IDS_MAX and 'U' or 'C'
    end
    for at = 0, ids - 1 do
      if string.sub(head, 10 + 8 * at, 17 + 8 * at) == id then
        version = nil
        answer = string.format('%.0f', struct.unpack('>I8', head) - at)
      end
    end
  end
  if version and reserved_at ~= '' then
    local is_old = tonumber(redis.call('TIME')[1]) * 1000 - tonumber(reserved_at) > RESERVED_MS
    if is_old or redis.call('GET', p .. ':c:' .. id) == 'v' then version, answer = nil, 'C' end
  end
  if version then
    ids = math.min(ids, IDS_MAX - 1)
    local latest = id .. string.sub(head, 10, 9 + 8 * ids)
    -- The first write is one that a full Redis refuses, so that it refuses all.
    if record == '' then
      redis.call('SET', key, version .. string.char(DELETED + ids + 1) .. latest, 'PX', 3600000)
    else
      local wakes = wake_at == '' and 0 or WAKES
      redis.call('SET', key, version .. string.char(wakes + ids + 1) .. latest .. record)
    end
    -- It stays until all devices are settled: without it a claim that counts would be undone.
    if reserved_at ~= '' then redis.call('SET', p .. ':c:' .. id, 'd') end
    if wake_at ~= '' then
      redis.call('ZADD', p .. ':tm', wake_at, who)
      wakes_changed[p] = n
    elseif marks < DELETED and marks >= WAKES then
      redis.call('ZREM', p .. ':tm', who)
      wakes_changed[p] = n
    end
    is_done[n] = true
    if ARGV[i + 6] ~= '0' then brings_more = true end
  end
  answers[n] = answer
end

local said = count
if resent then
  -- What was done before its answer was lost has changed it, too.
  for n = 1, count do
    p = ARGV[7 * n - 4]
    wakes_changed[p] = n
    answers[said + 1], answers[said + 2] = n, 'rt'
    answers[said + 3] = redis.call('ZRANGE', p .. ':rt', 0, 0, 'WITHSCORES')[2] or '-'
    said = said + 3
  end
end
for partition, n in pairs(wakes_changed) do
  answers[said + 1], answers[said + 2] = n, 'tm'
  answers[said + 3] = redis.call('ZRANGE', partition .. ':tm', 0, 0, 'WITHSCORES')[2] or '-'
  said = said + 3
end
if not brings_more then return answers end

