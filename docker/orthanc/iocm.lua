-- Hides what a rejection note withdraws (IHE Radiology, Imaging Object Change Management). Orthanc knows nothing of such notes:
-- without this script it goes on to show what a note names. It has no way to hide an object either, so it deletes it, and keeps
-- the note, which says why. What comes after its note, or once more, goes as well.
local rejections = { ['113001'] = true, ['113037'] = true, ['113038'] = true, ['113039'] = true }

local function tags_of(instance)
  return ParseJson(RestApiGet('/instances/' .. instance .. '/simplified-tags'))
end

-- The SOP Instance UIDs that a note withdraws; none for a selection of key objects that is no rejection.
local function withdrawn_by(note)
  local withdrawn = {}
  local title = (note.ConceptNameCodeSequence or {})[1] or {}
  if title.CodingSchemeDesignator == 'DCM' and rejections[title.CodeValue] then
    for _, study in ipairs(note.CurrentRequestedProcedureEvidenceSequence or {}) do
      for _, series in ipairs(study.ReferencedSeriesSequence or {}) do
        for _, object in ipairs(series.ReferencedSOPSequence or {}) do
          withdrawn[object.ReferencedSOPInstanceUID] = true
        end
      end
    end
  end
  return withdrawn
end

local function delete(sop_instance_uid)
  for _, found in ipairs(ParseJson(RestApiPost('/tools/lookup', sop_instance_uid))) do
    if found.Type == 'Instance' then
      RestApiDelete('/instances/' .. found.ID)
      print('withdrawn by a rejection note, deleted: ' .. sop_instance_uid)
    end
  end
end

local function notes_of(study_instance_uid)
  local query = { Level = 'Instance', Query = { StudyInstanceUID = study_instance_uid, Modality = 'KO' } }
  return ParseJson(RestApiPost('/tools/find', DumpJson(query, true)))
end

local before = OnStoredInstance -- another script's, which was read earlier

function OnStoredInstance(instance, tags, metadata, origin)
  if before then
    before(instance, tags, metadata, origin)
  end
  if tags.Modality == 'KO' then
    for sop_instance_uid, _ in pairs(withdrawn_by(tags_of(instance))) do
      delete(sop_instance_uid)
    end
  end
  for _, note in ipairs(notes_of(tags.StudyInstanceUID)) do
    if withdrawn_by(tags_of(note))[tags.SOPInstanceUID] then
      delete(tags.SOPInstanceUID)
      return
    end
  end
end
